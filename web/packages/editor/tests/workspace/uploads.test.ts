import { beforeEach, expect, test } from "vitest";
import { Problem } from "../../src/api/problem";
import { gatherChosen, MAX_FILES } from "../../src/workspace/gathering";
import { saidOf } from "../../src/workspace/upload_panel";
import { type Answer, type Carrier, sizeText, Uploads, type UploadTarget } from "../../src/workspace/uploads";

/** Folders and files by path; a path is its own id. */
class FakeTree implements UploadTarget {
  readonly workspaceId = "wsp_1";
  constructor(readonly kinds: Map<string, "directory" | "text">) {}
  path = (fileId: string) => fileId;
  find = (path: string) => (this.kinds.has(path) ? path : null);
  node = (fileId: string) => ({ kind: this.kinds.get(fileId) }) as ReturnType<UploadTarget["node"]>;
  mkdir = (name: string, above = "") => {
    const path = above === "" ? name : `${above}/${name}`;
    this.kinds.set(path, "directory");
    return path;
  };
  synced = async () => {};
}

let tree: FakeTree;
let put: { path: string; base: string | null }[];
let refusals: Map<string, Problem[]>;
let asked: (readonly string[])[];

beforeEach(() => {
  tree = new FakeTree(
    new Map([
      ["docs", "directory"],
      ["docs/a.md", "text"],
      ["b.md", "text"],
    ] as const),
  );
  put = [];
  asked = [];
  refusals = new Map();
});

function uploads(answer: Answer): Uploads {
  const carrier: Carrier = {
    tagOf: async (_, path) => `"${path}:3"`,
    putFile: async (_, path, content, { base, sent, signal }) => {
      signal.throwIfAborted();
      const refusal = refusals.get(path)?.shift();
      if (refusal !== undefined) throw refusal;
      sent(content.size);
      put.push({ path, base });
    },
  };
  const ask = async (paths: readonly string[]) => {
    asked.push(paths);
    return answer;
  };
  return new Uploads(tree, ask, carrier);
}

function chosen(...paths: string[]) {
  return gatherChosen(
    paths.map((path) => {
      const file = new File(["four"], path.slice(path.lastIndexOf("/") + 1));
      Object.defineProperty(file, "webkitRelativePath", { value: path.includes("/") ? path : "" });
      return file;
    }),
  );
}

test("folders are made, files are put by path; nothing is asked where nothing is there", async () => {
  const made = uploads("");
  await made.begin("docs", chosen("x.bin", "pictures/sea/a.png", "pictures/b.png"));
  expect(asked).toEqual([]);
  expect(put.map(({ path }) => path).sort()).toEqual(["docs/pictures/b.png", "docs/pictures/sea/a.png", "docs/x.bin"]);
  expect(put.every(({ base }) => base === null)).toBe(true);
  expect(made.state()).toMatchObject({ files: 3, finished: 3, made: 3, bytes: 12, sent: 12, isOver: true });
  made.dismiss();
  expect(made.state()).toBeNull();
});

test.each<[Answer, { path: string; base: string | null }[], string]>([
  ["replace", [{ path: "docs/a.md", base: '"docs/a.md:3"' }], "2 files uploaded."],
  ["both", [{ path: "docs/a (2).md", base: null }], "2 files uploaded."],
  ["skip", [], "1 file uploaded. 1 file left out."],
])("what is there already: %s", async (answer, expected, said) => {
  const made = uploads(answer);
  await made.begin("", chosen("docs/a.md", "c.md"));
  expect(asked).toEqual([["docs/a.md"]]);
  expect(put.filter(({ path }) => path !== "c.md")).toEqual(expected);
  const state = made.state();
  expect(state && saidOf(state)).toBe(said);
});

test("without an answer nothing is uploaded; cancelled, what is there stays", async () => {
  const made = uploads("");
  await made.begin("", chosen("b.md", "c.md"));
  expect(put).toEqual([]);
  expect(made.state()).toMatchObject({ made: 0, skipped: 2, isOver: true });
});

test("what is refused is named with the reason, and the others go on", async () => {
  const large = new Problem(413, { code: "file_too_large", detail: "600000000 bytes, at most 500000000" });
  refusals.set("large.iso", [large]);
  refusals.set("late.md", [new Problem(409, { code: "conflict" })]);
  refusals.set("slow.md", [new Problem(429, {}, 0.001)]);
  const made = uploads("both");
  await made.begin("", chosen("large.iso", "b.md/c.md", "late.md", "slow.md", "docs"));
  expect(made.state()?.refused.toSorted()).toEqual([
    "b.md/c.md: its folder cannot be made",
    "b.md: a file has the name of that folder",
    "docs: a folder has that name",
    "large.iso: it is larger than 500 MB, the most that a file may have here",
  ]);
  expect(put.map(({ path }) => path).sort()).toEqual(["late (2).md", "slow.md"]);
});

test("one upload at a time; so many files", async () => {
  const made = uploads("both");
  const first = made.begin("", chosen("c.md"));
  await expect(made.begin("", chosen("d.md"))).rejects.toThrow(RangeError);
  await first;
  const many = gatherChosen(Array.from({ length: MAX_FILES + 5 }, (_, number) => new File([], `${number}`)));
  expect(many.files.length).toBe(MAX_FILES);
  expect(many.refused).toEqual(["Everything behind the first 2,000 files"]);
});

test("sizes as people say them", () => {
  expect([0, 1, 999, 1_000, 12_345, 999_999, 5_000_000, 2_500_000_000].map(sizeText)).toEqual([
    "0 bytes",
    "1 byte",
    "999 bytes",
    "1 KB",
    "12.3 KB",
    "1 MB",
    "5 MB",
    "2.5 GB",
  ]);
});
