import type { Role } from "../api/models";

/** What each role is called where it can be chosen. */
export const ROLES: { value: Role; label: string }[] = [
  { value: "viewer", label: "can view" },
  { value: "editor", label: "can edit" },
  { value: "owner", label: "owns it" },
];

/** Without owning: for groups and links. */
export const LESSER_ROLES = ROLES.filter(({ value }) => value !== "owner");

export function roleText(role: Role): string {
  return ROLES.find(({ value }) => value === role)?.label ?? role;
}

export function asRole(value: string): Role {
  return value === "owner" || value === "editor" ? value : "viewer";
}

/** How often what others do with it is looked at, while the dialog is open: milliseconds. */
export const LIVE_MS = 5_000;
