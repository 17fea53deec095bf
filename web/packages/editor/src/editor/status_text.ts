/** What people are told about the state of a document, in words they can rely on. */

import type { DocumentStatus } from "@coscribe/client";

export type Tone = "good" | "busy" | "warning" | "bad" | "quiet";

export interface StatusText {
  /** Short: in the bar. */
  readonly label: string;
  readonly tone: Tone;
  /** One or two sentences: on click. */
  readonly detail: string;
}

/** *Saved* is said of nothing but what is durable on the server. */
export function statusText(status: DocumentStatus, wasLive: boolean): StatusText {
  const { state, unsent } = status;
  const edits = unsent === 1 ? "1 edit" : `${unsent} edits`;
  const [they, are, live, them] = unsent === 1 ? ["It", "is", "lives", "it"] : ["They", "are", "live", "them"];
  const kept = status.isKept
    ? `${they} ${are} kept on this device, also if you close this page, and sent as soon as the server can be reached.`
    : `This browser refuses to keep ${them}: ${they?.toLowerCase()} ${live} as long as this page stays open. Copy the text to be safe.`;
  if (state === "ended") {
    return { label: "Closed", tone: "bad", detail: status.error?.detail ?? "This document is closed for you." };
  }
  if (state === "offline" && unsent > 0) {
    const where = status.isKept ? "kept on this device" : "in this page only";
    return { label: `Offline – ${edits} ${where}`, tone: "warning", detail: `The server cannot be reached. ${kept}` };
  }
  if (state === "offline") {
    return {
      label: "Offline",
      tone: "warning",
      detail: "The server cannot be reached. You can go on writing; nothing of yours is unsent.",
    };
  }
  if (state !== "live") {
    const label = wasLive ? "Reconnecting" : "Connecting";
    const detail = unsent > 0 ? `${edits} to be sent. ${kept}` : "What has changed meanwhile is on its way.";
    return { label: `${label} …`, tone: "busy", detail };
  }
  if (!status.isSaved) {
    return { label: "Saving …", tone: "busy", detail: `${edits} on their way to the server's disk.` };
  }
  if (!status.canEdit) {
    return {
      label: "View only",
      tone: "quiet",
      detail: "You see every change as it is made; your role does not let you edit.",
    };
  }
  return {
    label: "Saved",
    tone: "good",
    detail: "Everything you see is on the server's disk, and everybody here has it or is getting it.",
  };
}
