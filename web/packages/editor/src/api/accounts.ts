/** One's own account, and finding other people. */

import type { Account, Begun, Identity, User } from "./models";
import { change, get, path, query, send } from "./request";

export const seeAccount = () => get<Account>("/account");

export const changeProfile = (profile: Partial<Pick<Account, "handle" | "displayName" | "color" | "discoverable">>) =>
  change<Account>("PATCH", "/account", profile);

export const changePassword = (currentPassword: string, newPassword: string) =>
  change<Begun>("PUT", "/account/password", { currentPassword, newPassword, cookie: true });

export const changeEmail = (email: string, currentPassword: string) =>
  change<{ detail: string }>("PUT", "/account/email", { email, currentPassword });

export const verifyEmail = (secret: string) => change("POST", "/account/email/verify", { secret });
export const askReset = (email: string) => change<{ detail: string }>("POST", "/account/password/ask-reset", { email });
export const resetPassword = (secret: string, newPassword: string) =>
  change("POST", "/account/password/reset", { secret, newPassword });

export const exportAccount = async () => (await send("GET", "/account/export")).blob();
export const deleteAccount = (currentPassword: string | null) => change("POST", "/account/delete", { currentPassword });

export const listIdentities = async () => (await get<{ items: Identity[] }>("/account/external")).items;
export const linkIdentity = (provider: string, currentPassword: string | null) =>
  change<{ url: string }>("POST", path("account", "external", provider), { currentPassword });
export const unlinkIdentity = (provider: string, currentPassword: string | null) =>
  change("DELETE", path("account", "external", provider), { currentPassword });

/** People whose name or handle fits; `search` has at least two characters. */
export const searchUsers = async (search: string, signal?: AbortSignal) =>
  (await get<{ items: User[] }>(`/users${query({ query: search, limit: 8 })}`, signal)).items;
