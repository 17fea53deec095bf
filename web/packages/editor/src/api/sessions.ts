/** Signing in and out, setting up, recovering: everything that begins or ends a session. */

import type { Begun, NewAccount, Server, SessionRow, Who } from "./models";
import { change, get, path } from "./request";

export const seeServer = () => get<Server>("/server");
export const who = () => get<Who>("/session");

export const signIn = (name: string, password: string) =>
  change<Begun>("POST", "/session", { name, password, cookie: true });

export const signUp = (account: NewAccount, invitation: string | null) =>
  change<Begun>("POST", "/accounts", { ...account, invitation, cookie: true });

export const setUp = (account: NewAccount, secret: string) =>
  change<Begun>("POST", "/setup", { ...account, secret, cookie: true });

export const signOut = () => change("DELETE", "/session");
export const signOutEverywhere = () => change("DELETE", "/sessions");
export const endSession = (sessionId: string) => change("DELETE", path("sessions", sessionId));
export const listSessions = async () => (await get<{ items: SessionRow[] }>("/sessions")).items;

/** A short-lived token: what a page says hello with on the WebSocket. `expiresIn` is in seconds. */
export const accessToken = () => change<{ accessToken: string; expiresIn: number }>("POST", "/session/access-token");

/** Where the browser goes to sign in elsewhere. */
export const beginExternal = (provider: string, invitation: string | null) =>
  change<{ url: string }>("POST", path("session", "external", provider), { invitation });
