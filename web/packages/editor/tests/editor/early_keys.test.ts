import { beforeEach, expect, test } from "vitest";
import { EarlyKeys, isWritingElsewhere } from "../../src/editor/early_keys";

let early: EarlyKeys;
let chosen: string;

beforeEach(() => {
  document.body.innerHTML = "<button>New file</button><input><section hidden><textarea></textarea></section>";
  chosen = "";
  early = new EarlyKeys(() => chosen);
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
  early.expect("a");
  type("!");
  expect(early.take("b")).toBe("two");
  early.expect("b");
  expect(early.take("a")).toBe("one!");
  expect(early.take("b")).toBe("");
  expect(early.take("a")).toBe("");
});

test("of many files that never come the oldest is given up", () => {
  for (let number = 0; number <= 21; number += 1) {
    early.expect(`f${number}`);
    type(`${number}`);
  }
  expect(early.take("f0")).toBe("");
  expect(early.take("f1")).toBe("1");
  early.giveUp("f2");
  expect(early.take("f2")).toBe("");
  expect(early.take("f21")).toBe("21");
});

test("it keeps the focus when the window is left and come back to", () => {
  early.expect("a");
  const input = document.activeElement;
  input?.dispatchEvent(new FocusEvent("blur")); // of the window: within the page it has the focus still
  expect(input).toHaveProperty("hidden", false);
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

test("what is drawn late of a file that another one was chosen over does not take its keys", () => {
  chosen = "a";
  expect(early.mayFocus("a")).toBe(true);
  chosen = "b";
  early.expect("b");
  expect(early.mayFocus("a")).toBe(false);
  expect(early.mayFocus("b")).toBe(true);
  document.querySelector("input")?.focus();
  expect(early.mayFocus("b")).toBe(false);
});

test("whoever writes something else is not disturbed", () => {
  document.querySelector("input")?.focus();
  expect(isWritingElsewhere()).toBe(true);
  document.querySelector("button")?.focus();
  expect(isWritingElsewhere()).toBe(false);
  document.querySelector<HTMLElement>("section textarea")?.focus(); // its page was hidden a moment ago
  expect(isWritingElsewhere()).toBe(false);
});
