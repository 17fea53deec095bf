/** Share links. */

import type { Link, LinkRole, MadeLink, OpenedLink } from "./models";
import { change, get, newKey, path } from "./request";

export const listLinks = async (documentId: string) =>
  (await get<{ items: Link[] }>(path("documents", documentId, "links"))).items;

/** @param expiresIn seconds; undefined: until it is switched off */
export const createLink = (documentId: string, role: LinkRole, expiresIn?: number) =>
  change<MadeLink>("POST", path("documents", documentId, "links"), { role, expiresIn }, { once: newKey() });

export const switchOffLink = (documentId: string, linkId: string) =>
  change("DELETE", path("documents", documentId, "links", linkId));

export const openLink = (secret: string) => change<OpenedLink>("POST", "/links/open", { secret });
