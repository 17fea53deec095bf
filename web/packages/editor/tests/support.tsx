/** A server that answers what a test says, and the page in front of it. */

import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render } from "@testing-library/react";
import axe from "axe-core";
import { MemoryRouter } from "react-router";
import { afterEach, expect, vi } from "vitest";
import { App } from "../src/app";
import { setArrival } from "../src/arrival";
import { closeDialogs } from "../src/parts/dialogs";
import { makeQueryClient } from "../src/queries";
import { SessionProvider } from "../src/session";
import { theme, variables } from "../src/theme";

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Record<string, string>;
  body: unknown;
}

type Answer = unknown;
type Answering = Answer | ((asked: Asked) => Answer);

export const ANN = {
  kind: "session",
  userId: "usr_ann",
  author: "usr_ann",
  displayName: "Ann Example",
  color: "#1864ab",
  administrator: false,
  csrfToken: "csrf-1",
};
export const NOBODY = { ...ANN, kind: "nobody", userId: "", displayName: "", csrfToken: null };
export const SERVER = { needsSetup: false, openSignUp: true, providers: [] };
export const DOCUMENT = {
  documentId: "doc_1",
  name: "Minutes of March",
  status: "active",
  role: "owner",
  createdAt: "2026-01-01T00:00:00.000Z",
  editedAt: "2026-01-02T00:00:00.000Z",
  visitedAt: null,
  trashedAt: null,
};
export const ACCOUNT = {
  userId: "usr_ann",
  handle: "ann",
  displayName: "Ann Example",
  color: "#1864ab",
  email: "ann@example.org",
  unverifiedEmail: null,
  hasPassword: true,
  administrator: false,
  discoverable: true,
  createdAt: "2026-01-01T00:00:00.000Z",
};

/** A refusal as the API answers it. */
export function problem(
  status: number,
  code: string,
  more: object = {},
  headers: Record<string, string> = {},
): Response {
  const body = { code, title: code.replaceAll("_", " "), detail: "", help: "", retry: "never", ...more };
  return new Response(JSON.stringify(body), { status, headers });
}

export function page(...items: unknown[]) {
  return { items, nextCursor: "" };
}

/** Stands in for `fetch`. What was not said before is answered with an empty page; while `isGone`, nothing answers. */
export class FakeApi {
  readonly asked: Asked[] = [];
  isGone = false;
  readonly #answers = new Map<string, Answering>();

  constructor() {
    this.on("GET /server", SERVER).on("GET /session", NOBODY);
    vi.stubGlobal("fetch", (address: string, init: RequestInit) => this.#answer(address, init));
  }

  /** @param what method and path below /api: `GET /documents` */
  on(what: string, answer: Answering): this {
    this.#answers.set(what, answer);
    return this;
  }

  count(what: string): number {
    return this.all(what).length;
  }

  all(what: string): Asked[] {
    return this.asked.filter(({ method, path }) => `${method} ${path}` === what);
  }

  async #answer(address: string, init: RequestInit): Promise<Response> {
    const url = new URL(address, "http://server.test");
    const asked: Asked = {
      method: init.method ?? "GET",
      path: url.pathname.replace(/^\/api/, ""),
      query: url.searchParams,
      headers: { ...(init.headers as Record<string, string>) },
      body: typeof init.body === "string" && init.body.startsWith("{") ? JSON.parse(init.body) : init.body,
    };
    if (this.isGone) throw new TypeError("network");
    this.asked.push(asked);
    const found = this.#answers.get(`${asked.method} ${asked.path}`);
    const answer = await (typeof found === "function" ? found(asked) : found);
    if (answer instanceof Error) throw answer;
    if (answer instanceof Response) return answer.clone();
    if (answer === null) return new Response(null, { status: 204 });
    return new Response(JSON.stringify(answer ?? page()), { status: 200 });
  }
}

export function Surroundings({ at = "/", children }: { at?: string; children: React.ReactNode }) {
  return (
    <MantineProvider theme={theme} cssVariablesResolver={variables} env="test">
      <QueryClientProvider client={makeQueryClient()}>
        <MemoryRouter initialEntries={[at]}>
          <SessionProvider>{children}</SessionProvider>
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>
  );
}

export function showApp(at: string) {
  return render(
    <Surroundings at={at}>
      <App />
    </Surroundings>,
  );
}

/** What a machine can see of accessibility without a layout: colours and sizes need a browser. */
export async function expectAccessible(): Promise<void> {
  const { violations } = await axe.run(document.body, {
    rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
  });
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)).toEqual([]);
}

afterEach(() => {
  cleanup();
  closeDialogs();
  setArrival(null);
  localStorage.clear();
  sessionStorage.clear();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});
