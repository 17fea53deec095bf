import { useArrival } from "../arrival";
import { Notice } from "../parts/notice";
import { useSession } from "../session";

/** Refusals of signing in elsewhere, which come back in the address. */
const ERRORS: Record<string, string> = {
  sign_up_closed:
    "There is no account for you here yet, and accounts are by invitation. Ask somebody here to invite you.",
  account_locked: "This account is locked. Ask an administrator.",
  secret_invalid: "That took too long, or was done already. Please try again.",
  setup_required: "This server has no administrator yet. Open the link that it has printed.",
};

/** Why somebody is asked to sign in, if there is more to it. */
export function Reason() {
  const arrival = useArrival();
  const { guest, endedFor } = useSession();
  if (arrival?.kind === "error") {
    const code = arrival.secret.slice(0, 64);
    return (
      <Notice kind="refused" role="alert">
        {ERRORS[code] ?? `Signing in elsewhere did not work (${code}). Please try again.`}
      </Notice>
    );
  }
  if (arrival?.kind === "invitation") {
    return <Notice>You are invited. Sign in, or create an account, to accept.</Notice>;
  }
  if (guest || arrival?.kind === "link") {
    return <Notice>Sign in to keep the shared document among yours.</Notice>;
  }
  if (endedFor) {
    return (
      <Notice kind="warning" role="status">
        You have been signed out. What you had typed is kept on this device: sign in again as {endedFor}, and it is
        sent.
      </Notice>
    );
  }
  return null;
}
