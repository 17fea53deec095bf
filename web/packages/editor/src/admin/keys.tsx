import { rotateSigningKey } from "../api/admin";
import { ActionButton } from "../parts/action_button";
import { confirm } from "../parts/dialogs";
import { Part } from "../parts/page";
import { say } from "../shell/say";

/** The key that access tokens are signed with. */
export function Keys() {
  const rotate = async () => {
    const text = "New access tokens are signed with a new key; those that are out stay good until they expire.";
    if (!(await confirm("Make a new signing key?", text, "Make a new key", false))) return;
    const { keyId } = await rotateSigningKey();
    say(`New access tokens are signed with ${keyId}.`);
  };
  return (
    <Part title="Signing key">
      <p>Access tokens are short-lived and signed. A new key now and then limits what a stolen one is good for.</p>
      <ActionButton action={rotate}>Make a new key</ActionButton>
    </Part>
  );
}
