import { Stack } from "@mantine/core";
import { beginExternal } from "../api/sessions";
import { useArrival } from "../arrival";
import { ActionButton } from "../parts/action_button";
import { useSession } from "../session";

/** Where else one can sign in. */
export function Providers() {
  const { server } = useSession();
  const arrival = useArrival();
  const offered = server?.providers ?? [];
  if (offered.length === 0) return null;
  const go = async (name: string) => {
    const { url } = await beginExternal(name, arrival?.kind === "invitation" ? arrival.secret : null);
    location.assign(url);
  };
  return (
    <>
      <p className="or">or</p>
      <Stack gap="xs">
        {offered.map(({ name, label }) => (
          <ActionButton key={name} fullWidth action={() => go(name)}>
            Continue with {label}
          </ActionButton>
        ))}
      </Stack>
    </>
  );
}
