import { beforeEach, expect, test } from "vitest";
import { EarlyKeys, isWritingElsewhere } from "../../src/editor/early_keys";

let early: EarlyKeys;

beforeEach(() => {
  document.body.innerHTML = "<button>New file</button><input><section hidden><textarea></textarea></section>";
  early = new EarlyKeys();
  early.within(document.body);
});

function type(text: string): void {
  const input = document.activeElement;
  if (input instanceof HTMLTextAreaElement) input.value += text;
}

test("what is typed for a file is there for it, once, and for no other one", () => {
  early.expect("a");
  expect(document.activeElement?.className).toBe("co-early");
  expect(isWritingElsewhere()).toBe(false);
  type("oil");
  early.expect("a");
  type(", bread");
  expect(early.take("b")).toBe("");
  expect(early.take("a")).toBe("oil, bread");
  expect(early.take("a")).toBe("");
  early.expect("a");
  type("one");
  early.expect("b");
  type("two");
  expect(early.take("a")).toBe("");
  expect(early.take("b")).toBe("two");
});

test("it is in nobody's way: out of the page's order, and gone when nothing is expected", () => {
  const input = document.querySelector<HTMLTextAreaElement>(".co-early");
  expect(input?.hidden).toBe(true);
  early.expect("a");
  expect(input?.hidden).toBe(false);
  expect(input?.tabIndex).toBe(-1);
  type("x");
  early.giveUp("b");
  expect(document.activeElement).toBe(input);
  early.giveUp("a");
  expect(document.activeElement).toBe(document.body);
  expect(input?.hidden).toBe(true);
  expect(early.take("a")).toBe("");
});

test("whoever writes something else is not disturbed", () => {
  document.querySelector("input")?.focus();
  expect(isWritingElsewhere()).toBe(true);
  document.querySelector("button")?.focus();
  expect(isWritingElsewhere()).toBe(false);
  document.querySelector<HTMLElement>("section textarea")?.focus(); // its page was hidden a moment ago
  expect(isWritingElsewhere()).toBe(false);
});
