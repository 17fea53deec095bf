import { expect, test } from "vitest";
import { closed, keepTabs, keptTabs, MAX_TABS, NO_TABS, nextOf, opened } from "../../src/workspace/tabs";

const always = () => true;

test("tabs keep their order; closing the one in front shows the one used before", () => {
  let tabs = NO_TABS;
  for (const file of ["a", "b", "c", "a"]) tabs = opened(tabs, file, always);
  expect(tabs.files).toEqual(["a", "b", "c"]);
  tabs = closed(tabs, "a");
  expect([tabs.files, nextOf(tabs)]).toEqual([["b", "c"], "c"]);
  expect(nextOf(closed(closed(tabs, "b"), "c"))).toBe("");
});

test("too many: the one unused longest goes, of those that have nothing unsent", () => {
  let tabs = NO_TABS;
  for (let number = 0; number < MAX_TABS; number++) tabs = opened(tabs, `f${number}`, always);
  tabs = opened(tabs, "one more", (file) => file !== "f0");
  expect(tabs.files).toHaveLength(MAX_TABS);
  expect(tabs.files).toContain("f0");
  expect(tabs.files).not.toContain("f1");
  expect(opened(tabs, "another", () => false).files).toHaveLength(MAX_TABS + 1);
});

test("a window remembers them, whatever else is in its storage", () => {
  keepTabs("w", opened(opened(NO_TABS, "a", always), "b", always));
  expect(keptTabs("w").files).toEqual(["a", "b"]);
  expect(keptTabs("v")).toEqual(NO_TABS);
  sessionStorage.setItem("coscribe.tabs w", '{"no": "list"}');
  expect(keptTabs("w")).toEqual(NO_TABS);
  sessionStorage.setItem("coscribe.tabs w", "no json");
  expect(keptTabs("w")).toEqual(NO_TABS);
});
