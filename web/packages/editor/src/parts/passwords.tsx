/** Fields for passwords. */

import { PasswordInput } from "@mantine/core";

/** What those who have a password are asked for again. */
export function CurrentPassword({ needed }: { needed: boolean }) {
  if (!needed) return null;
  return (
    <PasswordInput name="currentPassword" label="Your present password" autoComplete="current-password" required />
  );
}

export function NewPassword({ label, name, hint }: { label: string; name: string; hint: string }) {
  return (
    <PasswordInput
      name={name}
      label={label}
      description={hint}
      autoComplete="new-password"
      required
      minLength={10}
      maxLength={256}
    />
  );
}
