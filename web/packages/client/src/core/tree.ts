/**
 * Tree: which files a workspace has, what they are called and where they are; and the operations on that.
 *
 *     operation --apply, by the rules--> effect --log, wire--> takeIn, anywhere       undo: inverse(effect)
 *                                               --takeBack--> the tree as it was      (the last effect first)
 *
 * A node has an id that stays, a parent and a name. Its path is derived, so that a folder with all that is in it is
 * renamed by one change. Whoever owns the workspace applies operations in the order in which they come; there is nothing
 * to transform, for an operation names nodes by id and says what is to be, not what was. What it came to is its *effect*,
 * the nodes before and after. Effects are what is logged and sent: a replica takes them in and needs no rules. A client
 * in a hurry applies its own operations with the same rules as the server, and when something of others comes it takes
 * them back, takes that in and applies them again.
 *
 * A node that is deleted is *trashed*: it keeps its place and id, and what is below it goes along without being touched.
 * It is *live* if neither it nor a folder above it is trashed. The rules, where two people do things at the same time:
 *
 * - A name that is taken (by a node of that folder that is not trashed itself) is numbered: `a.txt`, `a (2).txt`. An
 *   operation that is `exact` is refused instead (`conflict`).
 * - Renaming and moving one node, or anything and a change of its content, are both done. Of two of one kind the later
 *   counts.
 * - What happens to a trashed node happens in the trash: it can be renamed, moved, edited. What is created in a trashed
 *   folder is in the trash, too. So it does not matter which of the two came first.
 * - Nothing live gets into the trash by being moved: the folder is gone, the node stays where it is. Likewise where a
 *   folder would come to be inside itself (two moves that cross), or too deep.
 * - What is restored goes back to its folder, if that is live, else to the next one above that is.
 * - Purging takes only what it names, and no folder with something in it that it does not name.
 *
 * An operation is refused only for what no order of things makes right: a form that is wrong, a node that there is not
 * (any more), a name that is taken where `exact` was asked, a tree that is full. Then nothing has changed.
 */

import { contentHash } from "../sha256.ts";
import { CoscribeError } from "./errors.ts";
import { isInsidePair, lengthInCodePoints } from "./positions.ts";

/** The id of the folder that everything is in. It is no node: it has no name and is never changed. */
export const ROOT = "";

export type Kind = "directory" | "text" | "binary" | "symlink";
const KINDS: readonly string[] = ["directory", "text", "binary", "symlink"] satisfies Kind[];

/**
 * What came out other than it was asked: the name was taken; the folder is in the trash; it would be inside itself; the
 * tree would be too deep; it is so already; the folder to go back to is not live; something unnamed is in it.
 */
export type Why = "numbered" | "trashed_folder" | "cycle" | "too_deep" | "already" | "moved_up" | "kept";

/** Bytes of a name in UTF-8, as file systems have it. */
const MAX_NAME = 255;

/** A name is numbered up to this. */
const MAX_NUMBER = 1_000;

/** Numbers that are tried in one unit; what needs more is for several. */
const MAX_TRIES = 20_000;

/** Bytes; what follows the last dot and is longer is no extension. */
const MAX_EXTENSION = 32;

/** Code points of what a symbolic link says. */
const MAX_TARGET = 4_095;

/**
 * What a file remembers of how it is on a disk, and the form of it. One that is absent is the usual: the mode of its
 * kind, LF, no BOM, UTF-8, the name as it is. `diskName`: Base64 of a name that is not UTF-8.
 */
const PROPERTIES: ReadonlyMap<string, RegExp> = new Map([
  ["mode", /^[0-7]{3}$/],
  ["eol", /^(crlf|cr)$/],
  ["bom", /^yes$/],
  ["encoding", /^[a-z0-9][a-z0-9_-]{0,31}$/],
  ["diskName", /^[A-Za-z0-9+/]{1,340}={0,2}$/],
]);

const NODE_ID = /^f[a-z2-7]{25}$/;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const SHA256 = /^[0-9a-f]{64}$/;

/** Of `Tree.encode`. */
const FORMAT = 1;

const UTF8 = new TextEncoder();

/**
 * Bounds of one tree: `nodes`, trashed ones too; `depth` of a node, below the root it is 1; operations of a `unit`, a
 * purge counting for all it names.
 */
export interface TreeLimits {
  readonly nodes: number;
  readonly depth: number;
  readonly unit: number;
}

const LIMITS: TreeLimits = { nodes: 100_000, depth: 64, unit: 10_000 };

export interface TreeOptions {
  /** Whether names that differ in case only are the same name. */
  readonly foldsCase?: boolean;
  /** Those that are other than usual. */
  readonly limits?: Partial<TreeLimits>;
}

export type Property = readonly [key: string, value: string];

/**
 * A node at a moment. `trashed`: itself, whatever the folders above are. `content`: of a binary file the SHA-256 in hex,
 * of a symbolic link its target, else empty. `properties`: by key, in order.
 */
export interface NodeState {
  readonly parentId: string;
  readonly name: string;
  readonly kind: Kind;
  readonly trashed: boolean;
  readonly content: string;
  readonly properties: readonly Property[];
}

/** A new node. Its id was never used before; whoever makes ids answers for that. */
export interface Create {
  readonly verb: "create";
  readonly fileId: string;
  readonly parentId: string;
  readonly name: string;
  readonly kind: Kind;
  readonly content?: string;
  readonly properties?: readonly Property[];
  readonly exact?: boolean;
}

/**
 * Another folder, another name, or both; undefined: as it is. `replaces`: the node that has that name there and goes into
 * the trash for it.
 */
export interface Move {
  readonly verb: "move";
  readonly fileId: string;
  readonly parentId?: string | undefined;
  readonly name?: string | undefined;
  readonly replaces?: string;
  readonly exact?: boolean;
}

/** Into the trash, with all that is below. */
export interface Delete {
  readonly verb: "delete";
  readonly fileId: string;
}

/** Out of the trash, with all that went in with it; to another folder or under another name where that is said. */
export interface Restore {
  readonly verb: "restore";
  readonly fileId: string;
  readonly parentId?: string | undefined;
  readonly name?: string | undefined;
}

/** Another content as a whole, and another kind perhaps; a text's own content is not in the tree. */
export interface Put {
  readonly verb: "put";
  readonly fileId: string;
  readonly kind: Kind;
  readonly content?: string;
}

/** One property; "" takes it away. */
export interface SetProperty {
  readonly verb: "set";
  readonly fileId: string;
  readonly key: string;
  readonly value: string;
}

/** Out of the trash for good: these very nodes. */
export interface Purge {
  readonly verb: "purge";
  readonly fileIds: readonly string[];
}

export type TreeOperation = Create | Move | Delete | Restore | Put | SetProperty | Purge;

/** One node before and after; null: it was not there, it is not there any more. */
export interface Change {
  readonly fileId: string;
  readonly before: NodeState | null;
  readonly after: NodeState | null;
}

/** Something came out other than it was asked, for people to be told. */
export interface Note {
  readonly fileId: string;
  readonly why: Why;
}

/** What operations came to: changes, one after the other. No changes: they came to nothing. */
export interface Effect {
  readonly changes: readonly Change[];
  readonly notes: readonly Note[];
}

/** A node and what hangs on it. */
class Node {
  state: NodeState;
  /** The levels that it and what is below it have. */
  height = 1;
  /** How many of the children have which height. */
  readonly heights = new Map<number, number>();
  /** The ids of all that is in it. */
  readonly children = new Set<string>();
  /** The ids of what is in it and not trashed itself, by the key of the name. */
  readonly names = new Map<string, string>();

  constructor(state: NodeState) {
    this.state = state;
  }
}

/** The nodes of a tree and how they hang together, without the rules. */
class Nodes {
  readonly foldsCase: boolean;
  /** By id, the root too. */
  readonly all = new Map<string, Node>();

  constructor(foldsCase: boolean) {
    this.foldsCase = foldsCase;
    this.all.set(ROOT, new Node(state(ROOT, "", "directory")));
  }

  get size(): number {
    return this.all.size - 1;
  }

  has(fileId: string): boolean {
    return fileId !== ROOT && this.all.has(fileId);
  }

  /** Errors: `file_not_found`, also of the root. */
  node(fileId: string): Node {
    if (fileId === ROOT) throw missing(fileId);
    return this.folder(fileId);
  }

  /** A node, or the root. Errors: `file_not_found`. */
  folder(fileId: string): Node {
    const node = this.all.get(fileId);
    if (node === undefined) throw missing(fileId);
    return node;
  }

  /** A node and the folders above it, without the root. Errors: `file_not_found`, also of the root. */
  upwards(fileId: string): Node[] {
    let node = this.node(fileId);
    const way = [node];
    while (node.state.parentId !== ROOT) {
      node = this.node(node.state.parentId);
      way.push(node);
    }
    return way;
  }

  isLive(fileId: string): boolean {
    return fileId === ROOT || !this.upwards(fileId).some((node) => node.state.trashed);
  }

  depth(fileId: string): number {
    return fileId === ROOT ? 0 : this.upwards(fileId).length;
  }

  /** Whether it is a folder, or somewhere in it. Errors: `file_not_found`. */
  isWithin(fileId: string, folderId: string): boolean {
    return fileId !== ROOT && this.upwards(fileId).includes(this.node(folderId));
  }

  key(name: string): string {
    return this.foldsCase ? fold(name) : name;
  }

  /** The id of whatever has a name in a folder. */
  holder(parentId: string, name: string): string | undefined {
    return this.folder(parentId).names.get(this.key(name));
  }

  /** Nodes in any order, into a tree that is empty. Errors: `file_damaged`. */
  fill(nodes: Iterable<readonly [fileId: string, state: NodeState]>): void {
    const inside = new Map<string, string[]>();
    for (const [fileId, after] of nodes) {
      if (this.all.has(fileId)) throw damaged("the tree has an id twice", fileId);
      this.all.set(fileId, new Node(after));
      const beside = inside.get(after.parentId);
      if (beside === undefined) inside.set(after.parentId, [fileId]);
      else beside.push(fileId);
    }
    const hung = [ROOT];
    for (const folderId of hung) {
      // `hung` grows meanwhile: a folder is hung before what is in it.
      for (const fileId of inside.get(folderId) ?? []) {
        const node = this.node(fileId);
        this.#checkFits(fileId, null, node.state);
        this.#hang(fileId, node);
        hung.push(fileId);
      }
    }
    if (hung.length !== this.all.size) throw damaged("the tree has nodes that hang on nothing");
  }

  /** One change, whatever the rules say. Errors: `file_damaged`: the node is not in the state before it. */
  make({ fileId, before, after }: Change): void {
    const node = this.all.get(fileId);
    if (fileId === ROOT || !isSame(node?.state ?? null, before)) {
      throw damaged("the file is not as the change says it was", fileId);
    }
    if (after !== null) this.#checkFits(fileId, before, after);
    if (node !== undefined && before !== null) {
      if (node.children.size > 0 && after?.kind !== "directory") {
        throw damaged("something is in the folder that goes", fileId);
      }
      const parent = this.folder(before.parentId);
      this.#count(before.parentId, node.height, 0);
      parent.children.delete(fileId);
      if (!before.trashed) parent.names.delete(this.key(before.name));
    }
    if (after === null) {
      this.all.delete(fileId);
      return;
    }
    const changed = node ?? new Node(after);
    changed.state = after;
    this.all.set(fileId, changed);
    this.#hang(fileId, changed);
  }

  /** Errors: `file_damaged`: the changes are not the last ones. */
  takeBack(changes: readonly Change[]): void {
    for (const { fileId, before, after } of changes.toReversed()) this.make({ fileId, before: after, after: before });
  }

  /** Whether a state leaves a tree. Errors: `file_damaged`. */
  #checkFits(fileId: string, before: NodeState | null, after: NodeState): void {
    const { parentId, name, trashed } = after;
    if (this.all.get(parentId)?.state.kind !== "directory") throw damaged(`'${parentId}' is no folder`, fileId);
    if (!trashed && !isFreeFor(fileId, this.holder(parentId, name))) {
      throw damaged(`the name '${name}' is taken`, fileId);
    }
    if (before !== null && before.parentId !== parentId && this.isWithin(parentId, fileId)) {
      throw damaged("a folder inside itself", fileId);
    }
  }

  /** Puts a node into its folder. */
  #hang(fileId: string, { state: { parentId, name, trashed }, height }: Node): void {
    const parent = this.folder(parentId);
    this.#count(parentId, 0, height);
    parent.children.add(fileId);
    if (!trashed) parent.names.set(this.key(name), fileId);
  }

  /** What is in a folder, and so it and those above, gets another height: of `gone` levels `come`; 0: none. */
  #count(folderId: string, gone: number, come: number): void {
    let [above, less, more] = [folderId, gone, come];
    while (less !== more) {
      const node = this.folder(above);
      const { height, heights } = node;
      if (less > 0) {
        const left = (heights.get(less) ?? 0) - 1;
        if (left > 0) heights.set(less, left);
        else heights.delete(less);
      }
      if (more > 0) heights.set(more, (heights.get(more) ?? 0) + 1);
      node.height = 1 + Math.max(0, ...heights.keys());
      if (above === ROOT) return;
      [above, less, more] = [node.state.parentId, height, node.height];
    }
  }
}

/** The nodes of one workspace. */
export class Tree {
  readonly limits: TreeLimits;
  readonly #nodes: Nodes;

  constructor({ foldsCase = false, limits = {} }: TreeOptions = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.#nodes = new Nodes(foldsCase);
  }

  /** A tree of nodes in any order. Errors: `file_damaged`: they are none. */
  static of(nodes: Iterable<readonly [fileId: string, state: NodeState]>, options: TreeOptions = {}): Tree {
    const tree = new Tree(options);
    tree.#nodes.fill(nodes);
    return tree;
  }

  /** The inverse of `encode`. Errors: `file_damaged`: it is no tree. */
  static decode(encoded: string, limits: Partial<TreeLimits> = {}): Tree {
    const { nodes, foldsCase } = decoded(encoded);
    return Tree.of(nodes, { foldsCase, limits });
  }

  /** The tree as JSON, the very bytes that the server makes of it (as UTF-8). Equal trees have equal ones. */
  encode(): string {
    const nodes = [...this.#nodes.all]
      .filter(([fileId]) => fileId !== ROOT)
      .sort(([one], [other]) => byCodePoints(one, other))
      .map(([fileId, { state: node }]) => {
        return [fileId, node.parentId, node.name, node.kind, node.trashed, node.content, node.properties];
      });
    return JSON.stringify({ format: FORMAT, foldsCase: this.foldsCase, nodes });
  }

  get foldsCase(): boolean {
    return this.#nodes.foldsCase;
  }

  /** How many nodes there are, trashed ones too. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Whether there is a node, be it trashed. The root is none. */
  has(fileId: string): boolean {
    return this.#nodes.has(fileId);
  }

  /** Errors: `file_not_found`. */
  state(fileId: string): NodeState {
    return this.#nodes.node(fileId).state;
  }

  /** Whether neither it nor a folder above it is trashed. The root is. Errors: `file_not_found`. */
  isLive(fileId: string): boolean {
    return this.#nodes.isLive(fileId);
  }

  /** Its names from the top, with slashes between; also of what is in the trash. Errors: `file_not_found`. */
  path(fileId: string): string {
    if (fileId === ROOT) return "";
    const names = this.#nodes.upwards(fileId).map((node) => node.state.name);
    return names.reverse().join("/");
  }

  /** The id of the live node at a path ("" is the root), in as many steps as the path has names; undefined: none. */
  find(path: string): string | undefined {
    let fileId: string | undefined = ROOT;
    if (path === "") return fileId;
    for (const name of path.split("/")) {
      fileId = this.#nodes.holder(fileId, name);
      if (fileId === undefined) return undefined;
    }
    return fileId;
  }

  /** What is in a folder and not trashed itself, by name. Errors: `file_not_found`. */
  children(fileId: string): [name: string, fileId: string][] {
    const there = [...this.#nodes.folder(fileId).names.values()];
    return there
      .map((child): [string, string] => [this.state(child).name, child])
      .sort(([one], [other]) => byCodePoints(one, other));
  }

  /** The ids of all that is below, trashed or not, each after its folder. Errors: `file_not_found`. */
  *below(fileId: string): Generator<string> {
    const waiting = [fileId];
    for (let folderId = waiting.pop(); folderId !== undefined; folderId = waiting.pop()) {
      for (const child of this.#nodes.folder(folderId).children) {
        yield child;
        waiting.push(child);
      }
    }
  }

  /** The ids of the nodes that are trashed themselves, in order. */
  trashed(): string[] {
    const found = [...this.#nodes.all].filter(([, node]) => node.state.trashed);
    return found.map(([fileId]) => fileId).sort(byCodePoints);
  }

  /**
   * Applies operations as a unit, by the rules: all of them or, with an error, none.
   *
   * Errors: `invalid_payload`, `file_not_found`, `conflict`, `quota_exceeded`, `operation_too_large`.
   */
  apply(operations: readonly TreeOperation[]): Effect {
    let size = 0;
    for (const operation of operations) size += operation.verb === "purge" ? operation.fileIds.length : 1;
    if (size > this.limits.unit) throw new CoscribeError("operation_too_large", `${size} operations on a tree in one`);
    const step = new Step(this.#nodes, this.limits);
    try {
      for (const operation of operations) {
        check(operation);
        step.do(operation);
      }
    } catch (error) {
      this.#nodes.takeBack(step.changes);
      throw error;
    }
    return { changes: step.changes, notes: step.notes };
  }

  /**
   * Makes changes that were made elsewhere, in this very state. Errors: `file_damaged`: they do not fit, and nothing has
   * changed.
   */
  takeIn({ changes }: Pick<Effect, "changes">): void {
    let done = 0;
    try {
      for (const change of changes) {
        this.#nodes.make(change);
        done += 1;
      }
    } catch (error) {
      this.#nodes.takeBack(changes.slice(0, done));
      throw error;
    }
  }

  /** The tree as it was before the last effect that is in it. Errors: `file_damaged`: it is not the last one. */
  takeBack({ changes }: Pick<Effect, "changes">): void {
    this.#nodes.takeBack(changes);
  }
}

/** A unit on its way: what it has changed so far. */
class Step {
  readonly changes: Change[] = [];
  readonly notes: Note[] = [];
  readonly #nodes: Nodes;
  readonly #limits: TreeLimits;
  #tries = 0;

  constructor(nodes: Nodes, limits: TreeLimits) {
    this.#nodes = nodes;
    this.#limits = limits;
  }

  do(operation: TreeOperation): void {
    switch (operation.verb) {
      case "create":
        this.#create(operation);
        break;
      case "move":
        this.#move(operation);
        break;
      case "delete":
        this.#delete(operation);
        break;
      case "restore":
        this.#restore(operation);
        break;
      case "put":
        this.#put(operation);
        break;
      case "set":
        this.#setProperty(operation);
        break;
      case "purge":
        this.#purge(operation);
        break;
    }
  }

  #create({ fileId, parentId, name, kind, content = "", properties = [], exact = false }: Create): void {
    const nodes = this.#nodes;
    if (nodes.has(fileId)) throw new CoscribeError("conflict", "a file has that id", fileId);
    this.#checkFolder(parentId);
    if (nodes.size >= this.#limits.nodes) {
      throw new CoscribeError("quota_exceeded", `the workspace has ${nodes.size} files`, fileId);
    }
    if (nodes.depth(parentId) >= this.#limits.depth) {
      throw new CoscribeError("quota_exceeded", `more than ${this.#limits.depth} folders deep`, fileId);
    }
    if (!nodes.isLive(parentId)) this.#note(fileId, "trashed_folder");
    const free = this.#freeName(fileId, parentId, name, kind, exact);
    this.#change(fileId, { ...state(parentId, free, kind), content, properties: inOrder(properties) });
  }

  #move(operation: Move): void {
    const { fileId, exact = false } = operation;
    const before = this.#nodes.node(fileId).state;
    let { parentId, properties } = before;
    let name = operation.name ?? before.name;
    if (operation.parentId !== undefined && operation.parentId !== parentId) {
      this.#checkFolder(operation.parentId);
      const why = this.#obstacle(fileId, operation.parentId);
      if (why === undefined) parentId = operation.parentId;
      else this.#note(fileId, why);
    }
    if (!before.trashed) {
      this.#replace(operation, parentId, name);
      name = this.#freeName(fileId, parentId, name, before.kind, exact);
    }
    if (name !== before.name) properties = properties.filter(([key]) => key !== "diskName");
    this.#change(fileId, { ...before, parentId, name, properties });
  }

  /** Why a node cannot go into a folder; undefined: it can. */
  #obstacle(fileId: string, parentId: string): Why | undefined {
    if (this.#nodes.isWithin(parentId, fileId)) return "cycle";
    if (this.#nodes.isLive(fileId) && !this.#nodes.isLive(parentId)) return "trashed_folder";
    return this.#isTooDeep(fileId, parentId) ? "too_deep" : undefined;
  }

  #isTooDeep(fileId: string, parentId: string): boolean {
    return this.#nodes.depth(parentId) + this.#nodes.node(fileId).height > this.#limits.depth;
  }

  /** Trashes what is to be replaced, if it is what has the name. */
  #replace({ fileId, replaces }: Move, parentId: string, name: string): void {
    const takenBy = this.#nodes.holder(parentId, name);
    if (takenBy !== undefined && takenBy === replaces && takenBy !== fileId) {
      this.#change(takenBy, { ...this.#nodes.node(takenBy).state, trashed: true });
    }
  }

  #delete({ fileId }: Delete): void {
    const before = this.#nodes.node(fileId).state;
    if (before.trashed) this.#note(fileId, "already");
    else this.#change(fileId, { ...before, trashed: true });
  }

  #restore(operation: Restore): void {
    const nodes = this.#nodes;
    const { fileId } = operation;
    const before = nodes.node(fileId).state;
    if (nodes.isLive(fileId)) {
      this.#note(fileId, "already");
      return;
    }
    const wanted = operation.parentId ?? before.parentId;
    this.#checkFolder(wanted);
    let parentId = nodes.isLive(wanted) ? wanted : before.parentId;
    while (!nodes.isLive(parentId)) parentId = nodes.node(parentId).state.parentId;
    if (parentId !== wanted) this.#note(fileId, "moved_up");
    if (parentId !== before.parentId && this.#isTooDeep(fileId, parentId)) {
      this.#note(fileId, "too_deep");
      parentId = ROOT;
    }
    const name = this.#freeName(fileId, parentId, operation.name ?? before.name, before.kind, false);
    this.#change(fileId, { ...before, parentId, name, trashed: false });
  }

  #put({ fileId, kind, content = "" }: Put): void {
    const before = this.#nodes.node(fileId).state;
    if (before.kind === "directory") throw new CoscribeError("invalid_payload", "a folder has no content", fileId);
    this.#change(fileId, { ...before, kind, content });
  }

  #setProperty({ fileId, key, value }: SetProperty): void {
    const before = this.#nodes.node(fileId).state;
    const others = before.properties.filter(([each]) => each !== key);
    const properties = value === "" ? others : inOrder([...others, [key, value]]);
    this.#change(fileId, { ...before, properties });
  }

  #purge({ fileIds }: Purge): void {
    const nodes = this.#nodes;
    const depths = new Map<string, number>();
    for (const fileId of fileIds) depths.set(fileId, nodes.upwards(fileId).length);
    // A folder after what is in it: so whatever of it was not named is still there when its turn comes.
    const named = [...depths].sort(([one, depth], [other, deeper]) => deeper - depth || byCodePoints(one, other));
    for (const [fileId] of named) {
      if (nodes.isLive(fileId)) this.#note(fileId, "already");
      else if (nodes.node(fileId).children.size > 0) this.#note(fileId, "kept");
      else this.#change(fileId, null);
    }
  }

  /** Errors: `file_not_found`, `invalid_payload`: it is no folder. */
  #checkFolder(parentId: string): void {
    if (this.#nodes.folder(parentId).state.kind !== "directory") {
      throw new CoscribeError("invalid_payload", `'${parentId}' is no folder`, parentId);
    }
  }

  /** The name, or the first numbered one that is free. Errors: `conflict`, `operation_too_large`. */
  #freeName(fileId: string, parentId: string, name: string, kind: Kind, exact: boolean): string {
    if (isFreeFor(fileId, this.#nodes.holder(parentId, name))) return name;
    for (let number = 2; number <= MAX_NUMBER && !exact; number += 1) {
      this.#tries += 1;
      if (this.#tries > MAX_TRIES) {
        throw new CoscribeError("operation_too_large", "too many names in one that are taken");
      }
      const candidate = numbered(name, kind, number);
      if (isFreeFor(fileId, this.#nodes.holder(parentId, candidate))) {
        this.#note(fileId, "numbered");
        return candidate;
      }
    }
    throw new CoscribeError("conflict", `the name '${name}' is taken`, fileId);
  }

  #change(fileId: string, after: NodeState | null): void {
    const before = this.#nodes.has(fileId) ? this.#nodes.node(fileId).state : null;
    if (isSame(before, after)) return;
    const change = { fileId, before, after };
    this.#nodes.make(change);
    this.changes.push(change);
  }

  #note(fileId: string, why: Why): void {
    this.notes.push({ fileId, why });
  }
}

/**
 * Operations that undo an effect, for somebody who changes their mind: a later operation like any other.
 *
 * Applied right behind that of a single operation they make the live tree what it was, where each node was live before,
 * trashed itself, or not there. What was created is in the trash afterwards; what was purged does not come back; and what
 * was taken out of a folder in the trash does not go back there, as nothing live does.
 *
 * The changes are undone from the last to the first. But a folder may have been replaced by something out of itself: it
 * has to be there for that to go back, and its name is not free until then. So it waits in its place under another.
 */
export function inverse({ changes }: Pick<Effect, "changes">): TreeOperation[] {
  const undone: TreeOperation[] = [];
  const last = changes.findLastIndex(isMovedOut);
  const waiting = trashedFolders(changes.slice(0, Math.max(last, 0)));
  for (const [place, change] of [...changes.entries()].toReversed()) {
    if (place === last) {
      for (const [fileId, { parentId }] of [...waiting].toReversed()) {
        undone.push({ verb: "restore", fileId, parentId, name: `~${fileId}` });
      }
    }
    undone.push(...inverseOf(change, place < last && waiting.has(change.fileId)));
  }
  return undone;
}

/** `waits`: it is out of the trash already, under another name. */
function inverseOf({ fileId, before, after }: Change, waits: boolean): TreeOperation[] {
  if (after === null) return [];
  if (before === null) return [{ verb: "delete", fileId }];
  const undone: TreeOperation[] = [];
  const isDeletion = after.trashed && !before.trashed;
  if (isDeletion && !waits) undone.push({ verb: "restore", fileId, parentId: before.parentId, name: before.name });
  if (before.trashed && !after.trashed) undone.push({ verb: "delete", fileId });
  const goesBack = isDeletion && waits;
  const parentId = goesBack || before.parentId !== after.parentId ? before.parentId : undefined;
  const name = goesBack || before.name !== after.name ? before.name : undefined;
  if (parentId !== undefined || name !== undefined) undone.push({ verb: "move", fileId, parentId, name });
  if (before.kind !== after.kind || before.content !== after.content) {
    undone.push({ verb: "put", fileId, kind: before.kind, content: before.content });
  }
  const was = new Map(before.properties);
  const now = new Map(after.properties);
  if (name !== undefined) now.delete("diskName");
  for (const key of [...new Set([...was.keys(), ...now.keys()])].sort(byCodePoints)) {
    if (was.get(key) !== now.get(key)) undone.push({ verb: "set", fileId, key, value: was.get(key) ?? "" });
  }
  return undone;
}

/** Whether it took something live out of a folder. */
function isMovedOut({ before, after }: Change): boolean {
  if (before === null || after === null || before.trashed || after.trashed) return false;
  return before.parentId !== ROOT && before.parentId !== after.parentId;
}

/** The folders that changes put into the trash, as they were. What is taken out of one later is inside it, perhaps:
 * the changes do not say. */
function trashedFolders(changes: readonly Change[]): Map<string, NodeState> {
  const found = new Map<string, NodeState>();
  for (const { fileId, before, after } of changes) {
    if (before === null || !after?.trashed) found.delete(fileId);
    else if (before.kind === "directory" && !before.trashed) found.set(fileId, before);
  }
  return found;
}

/**
 * The id of what the operation at a place of a unit creates: used once, for operation ids are, and known to whoever asks
 * for it before the answer comes. It is "f" and the first 125 bits of a hash in Base32.
 */
export function nodeId(workspaceId: string, operationId: string, place: number): string {
  const hash = contentHash(`${workspaceId}\n${operationId}\n${place}`);
  let bits = BigInt(`0x${hash.slice(0, 32)}`) >> 3n;
  let letters = "";
  for (let count = 0; count < 25; count += 1) {
    letters = BASE32.charAt(Number(bits & 31n)) + letters;
    bits >>= 5n;
  }
  return `f${letters}`;
}

/** Whether an id has the form of those that `nodeId` makes; no document may have one. */
export function isNodeId(fileId: string): boolean {
  return NODE_ID.test(fileId);
}

/**
 * What names have in common that differ in case, or in how their accents are written. Of the two Unicode tables that a
 * client and a server may have the server's counts: effects hold names, and are not worked out again.
 */
export function fold(name: string): string {
  return name.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC");
}

/** `notes (2).txt` of `notes.txt`; a folder's number is at the end. Too long a name is cut before the number. */
export function numbered(name: string, kind: Kind, number: number): string {
  let stem = name;
  let extension = "";
  const dot = name.lastIndexOf(".");
  if (kind !== "directory" && dot > 0 && sizeInBytes(name.slice(dot)) <= MAX_EXTENSION) {
    stem = name.slice(0, dot);
    extension = name.slice(dot);
  }
  const tail = ` (${number})${extension}`;
  const room = MAX_NAME - sizeInBytes(tail);
  while (sizeInBytes(stem) > room) stem = stem.slice(0, isInsidePair(stem, stem.length - 1) ? -2 : -1);
  return stem + tail;
}

/** Whether an operation has the form it must have, in whatever tree. Errors: `invalid_payload`. */
export function check(operation: TreeOperation): void {
  switch (operation.verb) {
    case "create":
      checkName(operation.name);
      checkContent(operation.kind, operation.content);
      checkProperties(operation.properties ?? []);
      break;
    case "move":
      if (operation.parentId === undefined && operation.name === undefined) {
        throw invalid("a move says where to, or which name, or both");
      }
      if (operation.name !== undefined) checkName(operation.name);
      break;
    case "restore":
      if (operation.name !== undefined) checkName(operation.name);
      break;
    case "put":
      if (operation.kind === "directory") throw invalid("nothing becomes a folder");
      checkContent(operation.kind, operation.content);
      break;
    case "set":
      if (operation.value !== "" || !PROPERTIES.has(operation.key)) checkProperty(operation.key, operation.value);
      break;
    case "delete":
    case "purge":
      break;
  }
}

function checkName(name: string): void {
  if (["", ".", ".."].includes(name) || name.includes("/") || !isClean(name)) {
    throw invalid("a name is not empty, not . or .., and has no slash and no NUL");
  }
  if (sizeInBytes(name) > MAX_NAME) throw invalid(`a name has at most ${MAX_NAME} bytes`);
  if (fold(name) === ".git") throw invalid(".git is never part of the tree: what is in it is run");
}

/** What comes from outside may be of any kind, whatever its type says. */
function checkContent(kind: Kind, content = ""): void {
  if (!KINDS.includes(kind)) throw invalid(`'${kind}' is no kind that it can have`);
  let fits = content === "";
  if (kind === "binary") fits = SHA256.test(content);
  else if (kind === "symlink") {
    fits = content !== "" && lengthInCodePoints(content) <= MAX_TARGET && isClean(content);
  }
  if (!fits) throw invalid(`that cannot be the content of a ${kind}`);
}

function checkProperties(properties: readonly Property[]): void {
  if (new Map(properties).size < properties.length) throw invalid("a property is there twice");
  for (const [key, value] of properties) checkProperty(key, value);
}

function checkProperty(key: string, value: string): void {
  if (PROPERTIES.get(key)?.test(value) !== true) {
    throw invalid(`'${key.slice(0, 40)}' cannot be '${value.slice(0, 40)}'`);
  }
}

/** Whether a text has no NUL and no surrogate that stands alone. */
function isClean(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** What `encode` has written. Errors: `file_damaged`. */
function decoded(encoded: string): { nodes: (readonly [string, NodeState])[]; foldsCase: boolean } {
  try {
    const { format, foldsCase, nodes } = JSON.parse(encoded) as Record<string, unknown>;
    if (format !== FORMAT || typeof foldsCase !== "boolean" || !Array.isArray(nodes)) {
      throw new TypeError("of an unknown format");
    }
    return { nodes: nodes.map(decodedNode), foldsCase };
  } catch (error) {
    throw damaged(`the tree cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

/** Raises TypeError, CoscribeError. */
function decodedNode(fields: unknown): readonly [string, NodeState] {
  if (!Array.isArray(fields) || fields.length !== 7) throw notOfTheForm();
  const [fileId, parentId, name, kind, trashed, content, properties]: unknown[] = fields;
  if (typeof trashed !== "boolean" || !Array.isArray(properties)) throw notOfTheForm();
  const after: NodeState = {
    parentId: text(parentId),
    name: text(name),
    kind: text(kind) as Kind, // `check` says whether it is one
    trashed,
    content: text(content),
    properties: properties.map(decodedProperty),
  };
  check({ verb: "create", fileId: "", ...after });
  return [text(fileId), after];
}

function decodedProperty(pair: unknown): Property {
  if (!Array.isArray(pair) || pair.length !== 2) throw notOfTheForm();
  return [text(pair[0]), text(pair[1])];
}

function text(value: unknown): string {
  if (typeof value !== "string") throw notOfTheForm();
  return value;
}

function notOfTheForm(): TypeError {
  return new TypeError("a node is not of the form");
}

function state(parentId: string, name: string, kind: Kind): NodeState {
  return { parentId, name, kind, trashed: false, content: "", properties: [] };
}

function isSame(one: NodeState | null, other: NodeState | null): boolean {
  if (one === null || other === null || one === other) return one === other;
  return (
    one.parentId === other.parentId &&
    one.name === other.name &&
    one.kind === other.kind &&
    one.trashed === other.trashed &&
    one.content === other.content &&
    one.properties.length === other.properties.length &&
    one.properties.every(([key, value], index) => {
      const [otherKey, otherValue] = other.properties[index] ?? [];
      return key === otherKey && value === otherValue;
    })
  );
}

/** Whether a node may have a name that `holder` has. */
function isFreeFor(fileId: string, holder: string | undefined): boolean {
  return holder === undefined || holder === fileId;
}

function inOrder(properties: readonly Property[]): readonly Property[] {
  return properties.toSorted(([one], [other]) => byCodePoints(one, other));
}

/** The order of the server, which is not that of UTF-16: there a pair comes before what is at the end of the BMP. */
function byCodePoints(one: string, other: string): number {
  const end = Math.min(one.length, other.length);
  for (let at = 0; at < end; at += 1) {
    const [unit, otherUnit] = [one.charCodeAt(at), other.charCodeAt(at)];
    if (unit !== otherUnit) return rank(unit) - rank(otherUnit);
  }
  return one.length - other.length;
}

/** Half of a pair stands for more than any unit that stands for itself. */
function rank(unit: number): number {
  return (unit & 0xf800) === 0xd800 ? unit + 0x1_0000 : unit;
}

function sizeInBytes(text: string): number {
  return UTF8.encode(text).length;
}

function missing(fileId: string): CoscribeError {
  return new CoscribeError("file_not_found", `there is no file '${fileId}' in the tree`, fileId);
}

function damaged(detail: string, fileId?: string): CoscribeError {
  return new CoscribeError("file_damaged", detail, fileId);
}

function invalid(detail: string): CoscribeError {
  return new CoscribeError("invalid_payload", detail);
}
