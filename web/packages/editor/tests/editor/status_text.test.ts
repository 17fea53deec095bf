import type { DocumentStatus } from "@coscribe/client";
import { describe, expect, test } from "vitest";
import { statusText } from "../../src/editor/status_text";

const SAVED: DocumentStatus = {
  state: "live",
  role: "editor",
  hasText: true,
  canEdit: true,
  unsent: 0,
  isSaved: true,
  isKept: true,
  patches: [],
  error: null,
  sequence: 3,
  version: 3,
  heals: 0,
  path: "",
  isTrashed: false,
};

const LABELS: [Partial<DocumentStatus>, string][] = [
  [{}, "Saved"],
  [{ isSaved: false, unsent: 2 }, "Saving …"],
  [{ canEdit: false, role: "viewer" }, "View only"],
  [{ canEdit: false, role: "viewer", isSaved: false, unsent: 1 }, "Saving …"],
  [{ state: "offline", isSaved: false }, "Offline"],
  [{ state: "offline", isSaved: false, unsent: 12 }, "Offline – 12 edits kept on this device"],
  [{ state: "offline", isSaved: false, unsent: 1 }, "Offline – 1 edit kept on this device"],
  [{ state: "offline", isSaved: false, unsent: 12, isKept: false }, "Offline – 12 edits in this page only"],
  [{ state: "connecting", isSaved: false, unsent: 12 }, "Reconnecting …"],
  [{ state: "catching-up", isSaved: false }, "Reconnecting …"],
  [{ state: "ended", isSaved: false }, "Closed"],
];

describe("statusText", () => {
  test.each(LABELS)("of %j is %s", (part, label) => {
    expect(statusText({ ...SAVED, ...part }, true).label).toBe(label);
  });

  test("the first time it connects, it does not say again", () => {
    expect(statusText({ ...SAVED, state: "connecting", isSaved: false }, false).label).toBe("Connecting …");
  });

  test("Saved is said only of what is saved", () => {
    for (const state of ["offline", "connecting", "catching-up", "live", "ended"] as const) {
      for (const unsent of [0, 1]) {
        const { label, tone } = statusText({ ...SAVED, state, unsent, isSaved: false }, true);
        expect(label).not.toBe("Saved");
        expect(tone).not.toBe("good");
      }
    }
  });
});

test("one edit is one, and more are more", () => {
  const offline = { ...SAVED, state: "offline", isSaved: false } as const;
  expect(statusText({ ...offline, unsent: 1 }, true).detail).toContain("It is kept on this device");
  expect(statusText({ ...offline, unsent: 2 }, true).detail).toContain("They are kept on this device");
  expect(statusText({ ...offline, unsent: 1, isKept: false }, true).detail).toContain("to keep it: it lives as long");
});
