/**
 * Who is here. The server says so; while it cannot be reached, the account that was here last is taken at its word, so
 * that a reload on a train still opens what is on this device. Only its id and name are remembered, nothing that would
 * let anybody in: the server asks again as soon as it is there.
 */

import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import { openLink } from "./api/links";
import type { Begun, LinkRole, Server, Who } from "./api/models";
import { Problem } from "./api/problem";
import { assume, remember, whenSignedOut } from "./api/request";
import * as sessions from "./api/sessions";

export interface SessionAccount {
  userId: string;
  displayName: string;
  color: string;
  administrator: boolean;
}

/** Somebody without an account who came by a share link, for one document. */
export interface Guest {
  documentId: string;
  documentName: string;
  linkRole: LinkRole;
  secret: string;
}

/** `offline`: an account that the server has not confirmed; `unreachable`: no account is known and no server answers. */
export type SessionStatus = "loading" | "unreachable" | "signed-out" | "signed-in" | "offline";

interface State {
  status: SessionStatus;
  account: SessionAccount | null;
  server: Server | null;
  problem: Problem | null;
  /** The session ended without being asked here: who was signed in until then. */
  endedFor: string;
}

export interface Session extends State {
  guest: Guest | null;
  /** Asks the server again who is here. */
  reload: () => Promise<void>;
  /** After an answer that began a session. */
  begin: (begun: Begun) => Promise<void>;
  /** After a request that ended it. */
  end: () => Promise<void>;
  /** Ends this session, here and on the server. */
  signOut: () => Promise<void>;
  enterAsGuest: (guest: Guest | null) => void;
  /** A short-lived token for the WebSocket, of the account or else of the guest. Always the same function; raises
   * `Problem`, without asking the server where nobody is here any more. */
  accessToken: () => Promise<string>;
}

const ACCOUNT = "coscribe.account";
const GUEST = "coscribe.guest";
const ASK_AGAIN = 5_000;
const NOBODY: State = { status: "loading", account: null, server: null, problem: null, endedFor: "" };

const SessionContext = createContext<Session | null>(null);

/** Raises outside of `SessionProvider`. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("useSession needs a SessionProvider around it");
  return session;
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState<State>(NOBODY);
  const [guest, setGuest] = useState<Guest | null>(() => read<Guest>(sessionStorage, GUEST, "secret"));
  const queries = useQueryClient();
  const lastUser = useRef<string | null>(null);
  const turn = useRef(0);

  const reload = useCallback(async () => {
    const mine = ++turn.current;
    const found = await ask();
    if (mine !== turn.current) return;
    const user = found.account?.userId ?? "";
    if (lastUser.current !== null && lastUser.current !== user) queries.clear();
    lastUser.current = user;
    if (found.status === "signed-in" && found.account) {
      const { userId, displayName } = found.account;
      write(localStorage, ACCOUNT, { userId, displayName });
    }
    if (found.status === "signed-out") write(localStorage, ACCOUNT, null);
    setState((before) => ({
      ...found,
      account: found.status === "offline" && isSame(before.account, found.account) ? before.account : found.account,
      server: found.server ?? before.server,
      endedFor: found.status === "signed-out" ? (before.account?.displayName ?? before.endedFor) : "",
    }));
  }, [queries]);

  const end = useCallback(async () => {
    write(localStorage, ACCOUNT, null);
    setState((before) => ({ ...before, account: null, endedFor: "" }));
    await reload();
  }, [reload]);

  useEffect(() => {
    void reload();
    whenSignedOut(() => void reload());
    const elsewhere = (event: StorageEvent) => {
      if (event.key === ACCOUNT) void reload();
    };
    const lost = () => setState((before) => (before.account ? { ...before, status: "offline" } : before));
    const found = () => void reload();
    addEventListener("storage", elsewhere);
    addEventListener("offline", lost);
    addEventListener("online", found);
    return () => {
      whenSignedOut(() => {});
      removeEventListener("storage", elsewhere);
      removeEventListener("offline", lost);
      removeEventListener("online", found);
    };
  }, [reload]);

  const present = useRef({ account: state.account, guest });
  present.current = { account: state.account, guest };
  const accessToken = useCallback(async () => {
    const { account, guest } = present.current;
    if (account) return (await sessions.accessToken()).accessToken;
    if (!guest) throw new Problem(401, { code: "sign_in_required", title: "Nobody is signed in", retry: "never" });
    const opened = await openLink(guest.secret);
    if (opened.accessToken === null) throw new Problem(409, { title: "Somebody has signed in here", retry: "never" });
    return opened.accessToken;
  }, []);

  const isWaiting = state.status === "offline" || state.status === "unreachable";
  useEffect(() => {
    if (!isWaiting) return;
    const timer = setInterval(() => void reload(), ASK_AGAIN);
    return () => clearInterval(timer);
  }, [isWaiting, reload]);

  const session = useMemo<Session>(
    () => ({
      ...state,
      guest,
      reload,
      begin: async (begun) => {
        remember(begun);
        await reload();
      },
      end,
      signOut: async () => {
        await sessions.signOut();
        await end();
      },
      enterAsGuest: (next) => {
        write(sessionStorage, GUEST, next);
        setGuest(next);
      },
      accessToken,
    }),
    [state, guest, reload, end, accessToken],
  );
  return <SessionContext value={session}>{children}</SessionContext>;
}

async function ask(): Promise<State> {
  try {
    const [server, who] = await Promise.all([sessions.seeServer(), sessions.who()]);
    remember(who);
    if (who.kind !== "session") return { ...NOBODY, status: "signed-out", server };
    return { ...NOBODY, status: "signed-in", server, account: accountOf(who) };
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(0, { title: `Something went wrong here: ${error}` });
    const last = read<SessionAccount>(localStorage, ACCOUNT, "userId");
    if (last === null || !problem.isUncertain) return { ...NOBODY, status: "unreachable", problem };
    assume(last.userId);
    const account = { color: "#495057", administrator: false, userId: last.userId, displayName: last.displayName };
    return { ...NOBODY, status: "offline", account, problem };
  }
}

function isSame(one: SessionAccount | null, other: SessionAccount | null): boolean {
  return one?.userId === other?.userId;
}

function accountOf({ userId, displayName, color, administrator }: Who): SessionAccount {
  return { userId, displayName, color, administrator };
}

/** What was written, if it is an object that has a text under `needed`; null too where storage is refused. */
function read<Value>(storage: Storage, key: string, needed: keyof Value & string): Value | null {
  try {
    const value = JSON.parse(storage.getItem(key) ?? "null");
    return typeof value?.[needed] === "string" ? value : null;
  } catch {
    return null;
  }
}

/** Only a help: where storage is refused, one signs in again. */
function write(storage: Storage, key: string, value: unknown): void {
  try {
    const text = JSON.stringify(value);
    if (value === null) storage.removeItem(key);
    else if (storage.getItem(key) !== text) storage.setItem(key, text);
  } catch {
    return;
  }
}
