import { Notice } from "../parts/notice";

/** This browser keeps nothing: what is typed is only as safe as this page. */
export function StorageRefused() {
  return (
    <Notice kind="warning" role="status">
      This browser keeps nothing on the device (a private window, or no room). You can write while you are connected;
      stay on this page until everything is saved.
    </Notice>
  );
}
