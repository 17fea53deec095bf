import { OfflineNotice } from "./offline";

/** There is no connection, and this document was never opened on this device. */
export function NotOnThisDevice() {
  return (
    <OfflineNotice>
      This document is not kept on this device yet. It opens by itself when the server can be reached.
    </OfflineNotice>
  );
}
