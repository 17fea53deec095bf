import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { Dialogs } from "../../src/parts/dialogs";
import { useSession } from "../../src/session";
import { Spoken } from "../../src/shell/say";
import SignOutDialog from "../../src/shell/sign_out";
import type { FindUnsentEdits, KeptDocument } from "../../src/unsent";
import { ANN, expectAccessible, FakeApi, NOBODY, Surroundings } from "../support";

class FakeEdits {
  constructor(public waiting: KeptDocument[]) {}
  list = async () => this.waiting;
  send = vi.fn(async () => {
    this.waiting = [];
  });
  download = vi.fn(async () => new Blob(["# Minutes"]));
  discard = vi.fn(async () => {
    this.waiting = [];
  });
}

const WAITING = [{ documentId: "doc_1", name: "Minutes", edits: 3 }];

function Leaving({ find }: { find: FindUnsentEdits }) {
  const { account, status } = useSession();
  return (
    <main>
      <p>{status}</p>
      {account && <SignOutDialog opened opener={null} onClose={() => {}} find={find} />}
      <Dialogs />
      <Spoken />
    </main>
  );
}

async function leaving(edits: FakeEdits) {
  const api = new FakeApi().on("GET /session", ANN).on("DELETE /session", () => {
    api.on("GET /session", NOBODY);
    return null;
  });
  const find = vi.fn(async () => edits);
  render(
    <Surroundings>
      <Leaving find={find} />
    </Surroundings>,
  );
  await waitFor(() => expect(find).toHaveBeenCalled());
  return { api, find };
}

test("with everything sent it just signs out", async () => {
  const { api, find } = await leaving(new FakeEdits([]));
  await screen.findByText("signed-out");
  expect(api.count("DELETE /session")).toBe(1);
  expect(find).toHaveBeenCalledExactlyOnceWith("usr_ann", expect.any(Function));
  expect(screen.getByRole("status").textContent).toBe("You are signed out.");
});

test("unsent edits are named, and nothing is done before somebody says what", async () => {
  const edits = new FakeEdits(WAITING);
  const { api } = await leaving(edits);
  await screen.findByRole("dialog", { name: "Not everything is sent yet" });
  expect(screen.getByText("Minutes").closest("li")?.textContent).toContain("3 edits");
  expect([api.count("DELETE /session"), edits.discard.mock.calls.length]).toEqual([0, 0]);
  await expectAccessible();
});

test("send first: signs out once everything is sent", async () => {
  const edits = new FakeEdits(WAITING);
  const { api } = await leaving(edits);
  await userEvent.click(await screen.findByRole("button", { name: "Send first" }));
  await screen.findByText("signed-out");
  expect([edits.send.mock.calls.length, api.count("DELETE /session")]).toEqual([1, 1]);
});

test("sending that fails keeps the edits and the session", async () => {
  const edits = new FakeEdits(WAITING);
  edits.send.mockRejectedValueOnce(new Error("no connection"));
  const { api } = await leaving(edits);
  await userEvent.click(await screen.findByRole("button", { name: "Send first" }));
  await screen.findByText(/no connection/);
  expect(api.count("DELETE /session")).toBe(0);
});

test("download leaves everything as it is", async () => {
  const edits = new FakeEdits(WAITING);
  const { api } = await leaving(edits);
  await userEvent.click(await screen.findByRole("button", { name: "Download" }));
  await waitFor(() => expect(edits.download).toHaveBeenCalledOnce());
  expect([edits.discard.mock.calls.length, api.count("DELETE /session")]).toEqual([0, 0]);
});

test("discarding is asked for twice", async () => {
  const edits = new FakeEdits(WAITING);
  const { api } = await leaving(edits);
  await userEvent.click(await screen.findByRole("button", { name: "Discard" }));
  await screen.findByRole("dialog", { name: "Discard what was not sent?" });
  expect(edits.discard).not.toHaveBeenCalled();
  await userEvent.click(screen.getByRole("button", { name: "Discard and sign out" }));
  await screen.findByText("signed-out");
  expect([edits.discard.mock.calls.length, api.count("DELETE /session")]).toEqual([1, 1]);
});
