import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CoscribeError } from "../../src/core/errors.ts";
import {
  type Change,
  type Create,
  check,
  type Effect,
  fold,
  inverse,
  isNodeId,
  type Kind,
  type NodeState,
  nodeId,
  numbered,
  ROOT,
  Tree,
  type TreeOperation,
} from "../../src/core/tree.ts";

const LIMITS = { nodes: 12, depth: 4 };

function folder(fileId: string, parentId = ROOT, name = fileId): Create {
  return { verb: "create", fileId, parentId, name, kind: "directory" };
}

function text(fileId: string, parentId = ROOT, name = fileId): Create {
  return { verb: "create", fileId, parentId, name, kind: "text" };
}

function rename(fileId: string, name: string): TreeOperation {
  return { verb: "move", fileId, name };
}

function drop(fileId: string): TreeOperation {
  return { verb: "delete", fileId };
}

function node(parentId: string, name: string, kind: Kind = "text"): NodeState {
  return { parentId, name, kind, trashed: false, content: "", properties: [] };
}

function treeOf(...operations: readonly TreeOperation[]): Tree {
  const tree = new Tree({ limits: LIMITS });
  tree.apply(operations);
  return tree;
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CoscribeError) return error.code;
    throw error;
  }
  return "nothing was refused";
}

/** The code of a unit that is refused, and so has changed nothing. */
function refused(tree: Tree, ...operations: readonly TreeOperation[]): string {
  const before = tree.encode();
  const code = codeOf(() => tree.apply(operations));
  expect(tree.encode()).toBe(before);
  return code;
}

// ---- by chance

const id = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
const place = fc.oneof(id, fc.constant(ROOT));
const name = fc.constantFrom("a", "A", "b.txt", "é", "e\u0301", "a (2)", "ß", "SS");
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const is = <T extends string>(verb: T) => fc.constant(verb);

const operation: fc.Arbitrary<TreeOperation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      verb: is("create"),
      fileId: id,
      parentId: place,
      name,
      kind: fc.constantFrom<Kind>("directory", "directory", "text"),
      exact: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ verb: is("move"), fileId: id, parentId: maybe(place), name: maybe(name), replaces: id }),
  },
  { weight: 2, arbitrary: fc.record({ verb: is("delete"), fileId: id }) },
  {
    weight: 2,
    arbitrary: fc.record({ verb: is("restore"), fileId: id, parentId: maybe(place), name: maybe(name) }),
  },
  fc.record({ verb: is("put"), fileId: id, kind: is("symlink"), content: name }),
  fc.record({ verb: is("set"), fileId: id, key: is("eol"), value: fc.constantFrom("crlf", "cr", "") }),
  fc.record({ verb: is("purge"), fileIds: fc.array(id, { maxLength: 3 }) }),
);
const history = fc.record({ foldsCase: fc.boolean(), operations: fc.array(operation, { maxLength: 24 }) });
const RUNS = { numRuns: 500 };

/** The effect; undefined: it was refused. */
function attempt(tree: Tree, ...operations: readonly TreeOperation[]): Effect | undefined {
  try {
    return tree.apply(operations);
  } catch (error) {
    if (error instanceof CoscribeError) return undefined;
    throw error;
  }
}

/** A client in a hurry: the server's tree with its own pending operations on top. */
class Hasty {
  readonly tree: Tree;
  readonly pending: TreeOperation[] = [];
  readonly #guesses: Effect[] = [];

  constructor(foldsCase: boolean) {
    this.tree = new Tree({ foldsCase, limits: LIMITS });
  }

  edit(operation: TreeOperation): void {
    this.pending.push(operation);
    this.#guess(operation);
  }

  hear(effect: Effect | undefined, isOwn: boolean): void {
    for (let guess = this.#guesses.pop(); guess !== undefined; guess = this.#guesses.pop()) this.tree.takeBack(guess);
    if (effect !== undefined) this.tree.takeIn(effect);
    if (isOwn) this.pending.shift();
    for (const operation of this.pending) this.#guess(operation);
  }

  #guess(operation: TreeOperation): void {
    const effect = attempt(this.tree, operation);
    if (effect !== undefined) this.#guesses.push(effect);
  }
}

describe("laws", () => {
  it("everybody who takes in the effects has the same tree, and can go back", () => {
    fc.assert(
      fc.property(history, ({ foldsCase, operations }) => {
        const server = new Tree({ foldsCase, limits: LIMITS });
        const follower = new Tree({ foldsCase, limits: LIMITS });
        const past: [before: string, effect: Effect][] = [];
        for (const each of operations) {
          const before = server.encode();
          const effect = attempt(server, each);
          if (effect === undefined) {
            expect(server.encode()).toBe(before);
            continue;
          }
          follower.takeIn(effect);
          past.push([before, effect]);
          expect(follower.encode()).toBe(server.encode());
          expect(Tree.decode(before, LIMITS).encode()).toBe(before);
        }
        for (const [before, effect] of past.reverse()) {
          follower.takeBack(effect);
          expect(follower.encode()).toBe(before);
        }
      }),
      RUNS,
    );
  });

  it("clients in a hurry converge", () => {
    fc.assert(
      fc.property(history, fc.array(fc.nat(3), { maxLength: 40 }), ({ foldsCase, operations }, order) => {
        const server = new Tree({ foldsCase, limits: LIMITS });
        const people = [0, 1].map((which) => ({
          client: new Hasty(foldsCase),
          queue: operations.filter((_, index) => index % 2 === which),
        }));
        const rest = operations.flatMap(() => [0, 1]);
        for (const choice of [...order, ...rest, ...rest.map((which) => which + 2)]) {
          const { client, queue } = people[choice % 2] ?? expect.unreachable();
          const next = choice < 2 ? queue.shift() : undefined;
          if (next !== undefined) client.edit(next);
          const sent = choice < 2 ? undefined : client.pending[0];
          if (sent === undefined) continue;
          const effect = attempt(server, sent);
          for (const each of people) each.client.hear(effect, each.client === client);
        }
        for (const { client } of people) {
          expect(client.pending).toStrictEqual([]);
          expect(client.tree.encode()).toBe(server.encode());
        }
      }),
      RUNS,
    );
  });

  it("a unit is done whole or not at all", () => {
    fc.assert(
      fc.property(history, ({ foldsCase, operations }) => {
        const whole = new Tree({ foldsCase, limits: LIMITS });
        const single = new Tree({ foldsCase, limits: LIMITS });
        const empty = whole.encode();
        const codes = operations.map((each) => codeOf(() => single.apply([each])));
        const first = codes.find((code) => code !== "nothing was refused");
        expect(codeOf(() => whole.apply(operations))).toBe(first ?? "nothing was refused");
        expect(whole.encode()).toBe(first === undefined ? single.encode() : empty);
      }),
      RUNS,
    );
  });

  it("paths lead to their nodes", () => {
    fc.assert(
      fc.property(history, ({ foldsCase, operations }) => {
        const tree = new Tree({ foldsCase, limits: LIMITS });
        for (const each of operations) attempt(tree, each);
        const all = [...tree.below(ROOT)];
        expect(all).toHaveLength(tree.size);
        for (const fileId of all.filter((each) => tree.isLive(each))) {
          const { parentId, name } = tree.state(fileId);
          expect(tree.find(tree.path(fileId))).toBe(fileId);
          expect(tree.children(parentId)).toContainEqual([name, fileId]);
        }
      }),
      RUNS,
    );
  });
});

// ---- by hand

describe("names", () => {
  it.each(["", ".", "..", "a/b", "a\0b", "\ud800", "é".repeat(128), ".git", ".GIT", ".g\u0131t", "x".repeat(256)])(
    "nothing can be called %j",
    (bad) => {
      const tree = treeOf(text("a"));
      expect(refused(tree, text("b", ROOT, bad))).toBe("invalid_payload");
      expect(refused(tree, rename("a", bad))).toBe("invalid_payload");
      tree.apply([drop("a")]);
      expect(refused(tree, { verb: "restore", fileId: "a", name: bad })).toBe("invalid_payload");
    },
  );

  it.each(["...", ".gitignore", "é".repeat(127), " ", "a\nb", "😀", "con", "test"])("%j is like any other", (good) => {
    expect(treeOf(text("a", ROOT, good)).find(good)).toBe("a");
  });

  it.each<[string, Kind, number, string]>([
    ["a.txt", "text", 2, "a (2).txt"],
    ["a.tar.gz", "binary", 3, "a.tar (3).gz"],
    ["Makefile", "text", 2, "Makefile (2)"],
    [".profile", "text", 2, ".profile (2)"],
    ["docs.v1", "directory", 2, "docs.v1 (2)"],
    [`a.${"b".repeat(32)}`, "text", 2, `a.${"b".repeat(32)} (2)`],
    ["é".repeat(127), "text", 2, `${"é".repeat(125)} (2)`],
    ["😀".repeat(63), "text", 2, `${"😀".repeat(62)} (2)`],
    [`${"x".repeat(250)}.txt`, "text", 10, `${"x".repeat(246)} (10).txt`],
  ])("%s (%s), number %i", (original, kind, number, result) => {
    expect(numbered(original, kind, number)).toBe(result);
  });

  it("numbers end somewhere", () => {
    const tree = new Tree();
    for (let first = 0; first < 1_000; first += 20) {
      tree.apply(Array.from({ length: 20 }, (_, index) => text(`f${first + index}`, ROOT, "a")));
    }
    expect(tree.find("a (1000)")).toBe("f999");
    expect(refused(tree, text("b", ROOT, "a"))).toBe("conflict");
    tree.apply([drop("f998"), text("b", ROOT, "a")]);
    const often = Array.from({ length: 21 }, (): TreeOperation[] => [
      drop("b"),
      { verb: "restore", fileId: "b", name: "a" },
    ]);
    expect(refused(tree, ...often.flat())).toBe("operation_too_large");
  });

  it("case, and how an accent is written, is told apart or not", () => {
    const both = [text("a", ROOT, "Straße"), text("b", ROOT, "STRASSE")];
    const folding = new Tree({ foldsCase: true });
    expect(new Tree().apply(both).notes).toStrictEqual([]);
    expect(folding.apply(both).notes).toStrictEqual([{ fileId: "b", why: "numbered" }]);
    expect(folding.find("strasse")).toBe("a");
    folding.apply([rename("a", "STRASSE")]);
    expect(folding.state("a").name).toBe("STRASSE");
    expect(fold("E\u0301Σ")).toBe(fold("éς"));
  });

  it("a name that is set is the name on disk again", () => {
    const tree = treeOf({
      ...text("a", ROOT, "\ufffd"),
      properties: [
        ["eol", "crlf"],
        ["diskName", "/w=="],
      ],
    });
    expect(tree.state("a").properties.map(([key]) => key)).toStrictEqual(["diskName", "eol"]);
    tree.apply([rename("a", "a")]);
    expect(tree.state("a").properties).toStrictEqual([["eol", "crlf"]]);
  });
});

describe("refusals", () => {
  it.each<TreeOperation>([
    { ...text("b"), kind: "socket" as Kind },
    { ...text("b"), content: "x" },
    { ...text("b"), kind: "binary" },
    { ...text("b"), kind: "binary", content: "A".repeat(64) },
    { ...text("b"), kind: "binary", content: `${"0".repeat(64)}\n` },
    { ...text("b"), kind: "symlink" },
    { ...text("b"), kind: "symlink", content: "a\0" },
    { ...text("b"), kind: "symlink", content: "😀".repeat(4_096) },
    { ...text("b"), properties: [["eol", "lfcr"]] },
    { ...text("b"), properties: [["constructor", ""]] },
    {
      ...text("b"),
      properties: [
        ["eol", "cr"],
        ["eol", "crlf"],
      ],
    },
    text("b", "a"),
    { verb: "move", fileId: "a" },
    { verb: "move", fileId: "a", parentId: "c" },
    { verb: "put", fileId: "a", kind: "directory" },
    { verb: "put", fileId: "d", kind: "text" },
    { verb: "set", fileId: "a", key: "owner", value: "" },
    { verb: "set", fileId: "a", key: "mode", value: "4755" },
  ])("a form that is wrong: %j", (operation) => {
    expect(refused(treeOf(text("a"), text("c"), folder("d")), text("new"), operation)).toBe("invalid_payload");
  });

  it("a link may say as many code points as it may have, however many units they take", () => {
    expect(() => check({ ...text("b"), kind: "symlink", content: "😀".repeat(4_095) })).not.toThrow();
  });

  it.each<TreeOperation>([
    text("b", "gone"),
    rename("gone", "x"),
    { verb: "move", fileId: "a", parentId: "gone" },
    rename(ROOT, "x"),
    drop("gone"),
    drop(ROOT),
    { verb: "restore", fileId: "gone" },
    { verb: "put", fileId: "gone", kind: "text" },
    { verb: "set", fileId: "gone", key: "eol", value: "crlf" },
    { verb: "purge", fileIds: ["gone"] },
    { verb: "purge", fileIds: [ROOT] },
  ])("a node that there is not: %j", (operation) => {
    expect(refused(treeOf(text("a")), operation)).toBe("file_not_found");
  });

  it("looking for a node that there is not", () => {
    const tree = treeOf(text("a"));
    for (const look of [
      () => tree.state("gone"),
      () => tree.state(ROOT),
      () => tree.path("gone"),
      () => tree.isLive("gone"),
      () => tree.children("gone"),
      () => [...tree.below("gone")],
    ]) {
      expect(codeOf(look)).toBe("file_not_found");
    }
    expect([tree.has("gone"), tree.has(ROOT), tree.has("a")]).toStrictEqual([false, false, true]);
    expect([tree.find("gone"), tree.find("a/gone"), tree.find(""), tree.path(ROOT)]).toStrictEqual([
      undefined,
      undefined,
      ROOT,
      "",
    ]);
  });

  it("bounds", () => {
    const tree = new Tree({ limits: { nodes: 3, depth: 2, unit: 3 } });
    expect(refused(tree, drop("x"), { verb: "purge", fileIds: ["x", "y", "z"] })).toBe("operation_too_large");
    tree.apply([folder("d"), folder("e", "d"), text("a")]);
    expect(refused(tree, text("b"))).toBe("quota_exceeded");
    tree.apply([drop("a"), { verb: "purge", fileIds: ["a"] }]);
    expect(refused(tree, text("b", "e"))).toBe("quota_exceeded");
    tree.apply([text("b")]);
    const { notes } = tree.apply([{ verb: "move", fileId: "b", parentId: "e" }]);
    expect(notes).toStrictEqual([{ fileId: "b", why: "too_deep" }]);
  });
});

describe("effects", () => {
  it("a folder with five thousand files is renamed by one change", () => {
    const tree = new Tree();
    tree.apply([folder("d"), ...Array.from({ length: 5_000 }, (_, index) => text(`f${index}`, "d"))]);
    expect(tree.apply([rename("d", "e")]).changes).toHaveLength(1);
    expect(tree.path("f4999")).toBe("e/f4999");
    expect(tree.find("d/f4999")).toBeUndefined();
  });

  it("what was replaced comes back under its name", () => {
    const tree = treeOf(folder("d"), text("a", "d"), text("b"));
    const before = tree.encode();
    const effect = tree.apply([{ verb: "move", fileId: "b", parentId: "d", name: "a", replaces: "a" }]);
    expect(tree.trashed()).toStrictEqual(["a"]);
    expect(tree.apply(inverse(effect)).notes).toStrictEqual([]);
    expect(tree.encode()).toBe(before);
  });

  it("what was in the trash for a moment only is where it was", () => {
    const tree = treeOf(folder("d"), folder("e"), text("x", "e"));
    const before = tree.encode();
    const effect = tree.apply([
      drop("d"),
      { verb: "restore", fileId: "d" },
      { verb: "move", fileId: "x", parentId: ROOT },
    ]);
    expect(tree.apply(inverse(effect)).notes).toStrictEqual([]);
    expect(tree.encode()).toBe(before);
  });

  it("what undoes contents, properties and new files", () => {
    const tree = treeOf(text("a"));
    const effect = tree.apply([
      { verb: "put", fileId: "a", kind: "symlink", content: "x" },
      { verb: "set", fileId: "a", key: "mode", value: "755" },
      { verb: "set", fileId: "a", key: "eol", value: "cr" },
      text("b"),
    ]);
    expect(inverse(effect)).toStrictEqual([
      drop("b"),
      { verb: "set", fileId: "a", key: "eol", value: "" },
      { verb: "set", fileId: "a", key: "mode", value: "" },
      { verb: "put", fileId: "a", kind: "text", content: "" },
    ]);
  });

  it.each<Change>([
    { fileId: "a", before: null, after: node(ROOT, "x") },
    { fileId: "b", before: null, after: node("gone", "x") },
    { fileId: "b", before: null, after: node("a", "x") },
    { fileId: "b", before: null, after: node(ROOT, "a") },
    { fileId: "a", before: node(ROOT, "x"), after: null },
    { fileId: "a", before: { ...node(ROOT, "a"), properties: [["eol", "cr"]] }, after: null },
    { fileId: "d", before: node(ROOT, "d", "directory"), after: null },
    { fileId: "d", before: node(ROOT, "d", "directory"), after: node(ROOT, "d") },
    { fileId: "d", before: node(ROOT, "d", "directory"), after: node("e", "d", "directory") },
    { fileId: ROOT, before: node(ROOT, "", "directory"), after: null },
  ])("one that does not fit changes nothing: %j", (change) => {
    const tree = treeOf(text("a"), folder("d"), folder("e", "d"));
    const before = tree.encode();
    const first: Change = { fileId: "new", before: null, after: node(ROOT, "new") };
    expect(codeOf(() => tree.takeIn({ changes: [first, change] }))).toBe("file_damaged");
    expect(tree.encode()).toBe(before);
  });
});

describe("as a whole", () => {
  it("the bytes are those of the server, in its order", () => {
    const tree = new Tree({ foldsCase: true });
    tree.apply([
      { ...text("b", ROOT, 'é"\u2028\n\u0001\u007f'), properties: [["eol", "cr"]] },
      text("😀"),
      text("\uffee"),
      drop("b"),
    ]);
    expect(tree.encode()).toBe(
      '{"format":1,"foldsCase":true,"nodes":[["b","","é\\"\u2028\\n\\u0001\u007f","text",true,"",[["eol","cr"]]],' +
        '["\uffee","","\uffee","text",false,"",[]],["😀","","😀","text",false,"",[]]]}',
    );
    expect(tree.children(ROOT).map(([, fileId]) => fileId)).toStrictEqual(["\uffee", "😀"]);
    expect(Tree.decode(tree.encode()).encode()).toBe(tree.encode());
  });

  it("nodes come in any order", () => {
    const tree = Tree.of([
      ["a", node("e", "a")],
      ["e", node("d", "e", "directory")],
      ["d", node(ROOT, "d", "directory")],
    ]);
    expect(tree.path("a")).toBe("d/e/a");
    tree.apply([folder("f"), { verb: "move", fileId: "f", parentId: "e" }]);
    expect(tree.find("d/e/f")).toBe("f");
  });

  const whole = { format: 1, foldsCase: false, nodes: [["d", "", "d", "directory", false, "", []]] };
  const [first = []] = whole.nodes;
  const spoilt = (...fields: readonly unknown[]) => JSON.stringify({ ...whole, nodes: [...whole.nodes, fields] });

  it.each([
    "",
    "[]",
    "{}",
    "null",
    "[".repeat(100_000),
    JSON.stringify({ ...whole, format: 2 }),
    JSON.stringify({ ...whole, foldsCase: 1 }),
    JSON.stringify({ ...whole, nodes: 7 }),
    spoilt(...first),
    spoilt("e", "", "e", "text", false, ""),
    spoilt("", "", "e", "text", false, "", []),
    spoilt(1, "", "e", "text", false, "", []),
    spoilt("e", "gone", "e", "text", false, "", []),
    spoilt("e", "", "d", "text", false, "", []),
    spoilt("e", "", "..", "text", false, "", []),
    spoilt("e", "", "e", "text", 0, "", []),
    spoilt("e", "", "e", "socket", false, "", []),
    spoilt("e", "", "e", "text", false, "", [["eol"]]),
    spoilt("e", "e", "e", "directory", false, "", []),
  ])("what is no tree is damaged: %.60s", (encoded) => {
    expect(codeOf(() => Tree.decode(encoded))).toBe("file_damaged");
  });

  it("an id follows from the operation, as on the server", () => {
    const ids = [nodeId("w", "ann:1", 0), nodeId("wörk", "ann:1", 17)];
    expect(ids).toStrictEqual(["fwt5rxrmzepwafbjge3naaepmc", "ft4l3erj6scu3klq3vcepxwexb"]);
    expect([...ids, "notes", `f${"a".repeat(24)}1`].map(isNodeId)).toStrictEqual([true, true, false, false]);
  });
});
