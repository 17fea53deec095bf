/** API tokens, for bots and agents. */

import type { MadeToken, Token, TokenScope } from "./models";
import { change, get, newKey, path } from "./request";

export const listTokens = async () => (await get<{ items: Token[] }>("/account/tokens")).items;

export const createToken = (token: { name: string; scope: TokenScope; days: number; documentId: string | null }) =>
  change<MadeToken>("POST", "/account/tokens", token, { once: newKey() });

export const revokeToken = (tokenId: string) => change("DELETE", path("account", "tokens", tokenId));
