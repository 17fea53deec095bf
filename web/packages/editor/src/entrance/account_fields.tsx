/** What a new account is made of. */

import { TextInput } from "@mantine/core";
import type { NewAccount } from "../api/models";
import type { Values } from "../parts/form";
import { NewPassword } from "../parts/passwords";

export function AccountFields() {
  return (
    <>
      <TextInput name="displayName" label="Your name" autoComplete="name" required maxLength={128} autoFocus />
      <TextInput
        name="handle"
        label="Handle"
        description="Others find and invite you by it: letters, digits, dot, dash, underscore."
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        maxLength={41}
      />
      <TextInput
        name="email"
        type="email"
        label="E-mail (optional)"
        description="For invitations, and to reset your password. A link is sent there first."
        autoComplete="email"
      />
      <NewPassword label="Password" name="password" hint="At least 10 characters. A few unusual words are best." />
    </>
  );
}

export function newAccount(values: Values): NewAccount {
  const text = (name: string) => (values[name] ?? "").trim();
  return {
    displayName: text("displayName"),
    handle: cleanHandle(text("handle")),
    email: text("email") || null,
    password: values["password"] ?? "",
  };
}

/** As people write it, `@Ann`, made what it is: `ann`. */
export function cleanHandle(written: string): string {
  return written.trim().replace(/^@/, "").toLowerCase();
}
