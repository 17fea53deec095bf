import { renderHook } from "@testing-library/react";
import { expect, test } from "vitest";
import { takeArrival, useArrival } from "../src/arrival";
import "./support";

test.each([
  ["#setup=cst_1", "/setup", { kind: "setup", secret: "cst_1" }],
  ["#invitation=csi_1", "/invite", { kind: "invitation", secret: "csi_1" }],
  ["#verify=a%2Fb", "/verify", { kind: "verify", secret: "a/b" }],
  ["#reset=x=y", "/reset", { kind: "reset", secret: "x=y" }],
  ["#link=csl_1", "/link", { kind: "link", secret: "csl_1" }],
  ["#linked=school", "/account/sessions", { kind: "linked", secret: "school" }],
  ["#error=%E0%A4", "/sign-in", { kind: "error", secret: "%E0%A4" }],
])("%s leads to %s, and its secret is kept", (hash, address, arrival) => {
  expect(takeArrival(hash)).toBe(address);
  expect(renderHook(() => useArrival()).result.current).toEqual(arrival);
});

test.each([
  ["#/documents/doc_1", "/d/doc_1"],
  ["#/list/trash", "/?list=trash"],
  ["#/sign-up", "/sign-up"],
  ["#/forgot", "/reset"],
  ["#/admin/documents", "/admin/documents"],
  ["#/", "/"],
])("the former address %s leads to %s", (hash, address) => {
  expect(takeArrival(hash)).toBe(address);
});

test.each(["", "#", "#main", "#constructor=1", "#other=1", "#/documents/a/b"])("%s is nobody's", (hash) => {
  expect(takeArrival(hash)).toBeNull();
});
