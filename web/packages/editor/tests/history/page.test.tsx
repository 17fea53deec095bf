import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ANN, type Asked, DOCUMENT, expectAccessible, FakeApi, page, problem, showApp } from "../support";

const SOON = { timeout: 15_000 };
const ANN_THEN = { userId: "usr_ann", displayName: "Ann Example", color: "#1864ab" };
const BOB = { userId: "usr_bob", displayName: "Bob", color: "#1864ab" };
const AT = Date.UTC(2026, 2, 1, 12);

/** Ann wrote `Hi 🎉 there`, letter by letter; then Bob ` you`. */
const LETTERS = [..."Hi 🎉 there you"];
const operations = LETTERS.map((letter, index) => ({
  version: index + 1,
  sequence: index + 1,
  author: index < 10 ? "usr_ann" : "usr_bob",
  at: AT + index * 1_000,
  edits: [[index, "", letter]],
}));
const LAST = LETTERS.length;
const textAt = (version: number) => LETTERS.slice(0, version).join("");
const moment = (version: number) => new Date(AT + version * 1_000).toISOString();
const NAMED = { version: 5, name: "First draft", namedBy: "usr_ann", namedAt: moment(5) };
const session = (author: object, fromVersion: number, toVersion: number, names: object[] = []) => ({
  author,
  fromVersion,
  toVersion,
  begunAt: moment(fromVersion),
  endedAt: moment(toVersion),
  operations: toVersion - fromVersion,
  inserted: toVersion - fromVersion,
  deleted: 0,
  isCut: false,
  names,
});

let api: FakeApi;
const below = "/documents/doc_1/history";

beforeEach(() => {
  api = new FakeApi()
    .on("GET /session", ANN)
    .on("GET /documents/doc_1", DOCUMENT)
    .on("GET /documents/doc_1/content", ({ query }: Asked) => {
      const version = Number(query.get("version") ?? LAST);
      return { text: textAt(version), documentVersion: version };
    })
    .on(`GET ${below}/operations`, ({ query }: Asked) => {
      const after = Number(query.get("after"));
      const found = operations.slice(after, after + Number(query.get("limit")));
      return { operations: found, authors: [ANN_THEN, BOB], version: LAST };
    })
    .on(`GET ${below}/sessions`, ({ query }: Asked) =>
      query.get("before") === "10"
        ? { items: [session(ANN_THEN, 0, 10, [NAMED])], nextBefore: null }
        : { items: [session(BOB, 10, LAST)], nextBefore: 10 },
    )
    .on(`GET ${below}/names`, { items: [NAMED] })
    .on(`GET ${below}/blame`, ({ query }: Asked) => ({
      version: Number(query.get("version")),
      runs: [
        { length: 10, authorId: "usr_ann", version: 10, at: AT, kind: "human" },
        { length: LAST - 10, authorId: "usr_bob", version: LAST, at: AT, kind: "paste" },
      ],
      authors: [ANN_THEN, BOB],
    }));
});

async function opened(search = "") {
  showApp(`/d/doc_1/history${search}`);
  await screen.findByRole("heading", { level: 1, name: "History of Minutes of March" }, SOON);
  await waitFor(() => expect(scrubber().getAttribute("aria-valuetext")).toMatch(/Bob|Ann|anything/), SOON);
  return userEvent.setup();
}

const scrubber = () => screen.getByRole("slider", { name: "Version" });
const shownText = () =>
  [...screen.getByTestId("past-text").querySelectorAll(".cm-line")].map((line) => line.textContent).join("\n");
const press = (user: ReturnType<typeof userEvent.setup>, name: string | RegExp) =>
  user.click(screen.getByRole("button", { name }));

describe("the history of a document", () => {
  it("shows the present text, who made it, and the sessions that led to it", async () => {
    const user = await opened();
    expect(shownText()).toBe(textAt(LAST));
    expect(scrubber().getAttribute("aria-valuetext")).toMatch(new RegExp(`^Version ${LAST} of ${LAST}: Bob, .*2026`));
    const sessions = await screen.findByRole("list", { name: /Editing sessions/ }, SOON);
    expect(within(sessions).getByText("Bob")).toBeDefined();
    await press(user, "Show more");
    expect(await within(sessions).findByText("Ann Example", {}, SOON)).toBeDefined();
    expect(within(sessions).getByText("First draft")).toBeDefined();
    await expectAccessible();
  });

  it("steps back and on, and says who did what", async () => {
    const user = await opened();
    await press(user, "One edit back");
    await waitFor(() => expect(shownText()).toBe(textAt(LAST - 1)));
    await press(user, "To the beginning");
    await waitFor(() => expect(scrubber().getAttribute("aria-valuetext")).toContain("before anything was written"));
    expect(shownText()).toBe("");
    await press(user, "One edit on");
    await waitFor(() => expect(shownText()).toBe("H"));
    expect(within(screen.getByRole("region", { name: "Player" })).getByText("Ann Example")).toBeDefined();
  });

  it("opens at the version of the address, and shows a named one", async () => {
    const user = await opened("?version=2");
    expect(shownText()).toBe("Hi");
    await press(user, "First draft version 5");
    await waitFor(() => expect(shownText()).toBe(textAt(5)));
    expect(scrubber().getAttribute("aria-valuetext")).toContain("First draft");
  });

  it("plays, and pauses", async () => {
    const user = await opened("?version=0");
    await user.selectOptions(screen.getByLabelText("Speed"), "64");
    await press(user, "Play");
    await waitFor(() => expect(shownText()).toBe(textAt(LAST)), SOON);
    await screen.findByRole("button", { name: "Play" }, SOON);
  });

  it("says who wrote what, in colours that differ and in words", async () => {
    const user = await opened();
    await press(user, "Who wrote this");
    const legend = await screen.findByRole("list", { name: "Authors" });
    await within(legend).findByText("Ann Example", {}, SOON);
    expect(legend.textContent).toContain(`${Math.round((10 / LAST) * 100)}%`);
    const [ann, bob] = [...document.querySelectorAll(".co-written")].map((each) => each.getAttribute("style"));
    expect(ann).toContain("#1864ab");
    expect(bob).not.toBe(ann);
    expect([...document.querySelectorAll(".co-written")].map((each) => each.textContent)).toEqual([
      textAt(10),
      textAt(LAST).slice(textAt(10).length),
    ]);
    expect(screen.getByText(/^At the caret: Ann Example, .*, version 10$/)).toBeDefined();
    await expectAccessible();
  });

  it("compares two versions, by number or name, and refuses others", async () => {
    const user = await opened();
    await press(user, "Compare");
    await screen.findByText("They differ in one place.", {}, SOON);
    const from = screen.getByLabelText("From version");
    expect(from).toHaveProperty("value", "First draft");
    await expectAccessible();
    await user.clear(from);
    await user.type(from, "77");
    const form = screen.getByRole("region", { name: "Compare two versions" });
    await user.click(within(form).getByRole("button", { name: "Compare" }));
    expect((await screen.findByRole("alert")).textContent).toContain("There is no version “77”");
    await user.clear(from);
    await user.type(from, String(LAST));
    await user.click(within(form).getByRole("button", { name: "Compare" }));
    await screen.findByText("Both texts are the same.", {}, SOON);
    await press(user, "Close");
    await waitFor(() => expect(shownText()).toBe(textAt(LAST)), SOON);
  });

  it("restores a version once it is asked and confirmed", async () => {
    api.on(`POST ${below}/restore`, { documentVersion: LAST + 1, operation: null });
    const user = await opened("?version=5");
    await press(user, "This version");
    await user.click(await screen.findByRole("menuitem", { name: "Restore it…" }));
    const dialog = await screen.findByRole("dialog", { name: "Restore version 5?" });
    expect(api.count(`POST ${below}/restore`)).toBe(0);
    await user.click(within(dialog).getByRole("button", { name: "Restore" }));
    await screen.findByText("Version 5 is restored, as a new edit.", {}, SOON);
    const [asked] = api.all(`POST ${below}/restore`);
    expect(asked?.body).toEqual({ version: 5 });
    expect(asked?.headers["Idempotency-Key"]).toMatch(/^[0-9a-f]{32}$/);
  });

  it("names a version, renames it, and takes the name away", async () => {
    api.on(`POST ${below}/names`, NAMED).on(`PATCH ${below}/names/5`, NAMED).on(`DELETE ${below}/names/5`, null);
    const user = await opened("?version=3");
    await press(user, "This version");
    await user.click(await screen.findByRole("menuitem", { name: "Name it…" }));
    await user.type(await screen.findByRole("textbox", { name: "Name" }), "Good one{Enter}");
    await screen.findByText("Version 3 is called “Good one”.", {}, SOON);
    expect(api.all(`POST ${below}/names`)[0]?.body).toEqual({ version: 3, name: "Good one" });
    await press(user, "Actions for First draft");
    await user.click(await screen.findByRole("menuitem", { name: "Rename…" }));
    await user.type(await screen.findByRole("textbox", { name: "Name" }), "Second{Enter}");
    await waitFor(() => expect(api.count(`PATCH ${below}/names/5`)).toBe(1), SOON);
    await press(user, "Actions for First draft");
    await user.click(await screen.findByRole("menuitem", { name: "Remove the name…" }));
    await user.click(await screen.findByRole("button", { name: "Remove the name" }));
    await waitFor(() => expect(api.count(`DELETE ${below}/names/5`)).toBe(1), SOON);
  });

  it("gives the shown text as a file, and the whole log", async () => {
    const user = await opened("?version=5");
    const made: Blob[] = [];
    vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
      made.push(blob as Blob);
      return "blob:test";
    });
    await press(user, "This version");
    const log = await screen.findByRole("menuitem", { name: "Download the full log" });
    expect(log.getAttribute("href")).toBe(`/api${below}/log`);
    await user.click(screen.getByRole("menuitem", { name: "Download its text" }));
    await waitFor(() => expect(made).toHaveLength(1), SOON);
    expect(await made[0]?.text()).toBe(textAt(5));
  });

  it("says what went wrong, and tries again", async () => {
    const user = await opened();
    api.on(`GET ${below}/blame`, problem(503, "overloaded", { title: "Much is going on", help: "Try again soon." }));
    await press(user, "Who wrote this");
    expect((await screen.findByRole("alert", {}, SOON)).textContent).toContain("Much is going on. Try again soon.");
  });
});

describe("instead of a history", () => {
  it.each([
    [
      "of a viewer",
      () => api.on("GET /documents/doc_1", { ...DOCUMENT, role: "viewer" }),
      "The history is for editors",
    ],
    [
      "that may not be seen",
      () => api.on("GET /documents/doc_1/content", problem(403, "permission_denied")),
      "The history is for editors",
    ],
    [
      "of an empty document",
      () => api.on("GET /documents/doc_1/content", { text: "", documentVersion: 0 }),
      "Nothing has been written yet",
    ],
    [
      "of a hidden document",
      () => api.on("GET /documents/doc_1", problem(404, "document_not_found")),
      "There is no such document for you",
    ],
    [
      "in the trash",
      () => api.on("GET /documents/doc_1", { ...DOCUMENT, status: "trashed" }),
      "This document is in the trash",
    ],
    [
      "that is damaged",
      () => api.on("GET /documents/doc_1/content", problem(500, "file_damaged")),
      "The history did not open",
    ],
  ])("%s, it says so, and what to do next", async (_, arrange, title) => {
    arrange();
    showApp("/d/doc_1/history");
    await screen.findByRole("heading", { level: 1, name: title }, SOON);
    const main = within(screen.getByRole("main"));
    expect([...main.queryAllByRole("link"), ...main.queryAllByRole("button")]).not.toEqual([]);
    await expectAccessible();
  });

  it("the sessions come in pages, an empty one too", async () => {
    api.on(`GET ${below}/sessions`, { ...page(), nextBefore: null });
    await opened();
    expect(await screen.findByText("Nothing has been written yet.", {}, SOON)).toBeDefined();
  });
});
