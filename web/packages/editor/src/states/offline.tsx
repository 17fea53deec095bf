import { Button } from "@mantine/core";
import { Notice } from "../parts/notice";
import { useSession } from "../session";
import { State } from "./state";

/** The server cannot be reached, and somebody is known on this device. */
export function OfflineNotice({ children }: { children?: React.ReactNode }) {
  return (
    <Notice kind="warning" role="status">
      No connection. {children ?? "This page comes back by itself when the server can be reached."}
    </Notice>
  );
}

/** The server cannot be reached, and nobody is known on this device. */
export function Unreachable() {
  const { problem, reload } = useSession();
  return (
    <State
      title="No connection"
      text={problem?.text ?? "The server cannot be reached. This page tries again by itself."}
    >
      <Button onClick={() => void reload()}>Try again now</Button>
    </State>
  );
}
