/** A form that sends once at a time, shows what was refused where it belongs, and keeps what was typed. */

import { Button, Stack } from "@mantine/core";
import { type FormEvent, type ReactNode, useRef, useState } from "react";
import { Problem, textOf } from "../api/problem";
import { Notice } from "./notice";

export type Values = Record<string, string>;

/** The fields that a refusal is about. */
const ABOUT: Record<string, string[]> = {
  handle_taken: ["handle"],
  password_refused: ["newPassword", "password"],
  wrong_credentials: ["currentPassword", "password"],
  reauthentication_required: ["currentPassword"],
};

interface FormProps {
  submit: string;
  /** Raises what is to be shown. `form.reset()` empties it. */
  action: (values: Values, form: HTMLFormElement) => Promise<unknown>;
  children: ReactNode;
  /** In one line, where there is room. */
  inline?: boolean;
  color?: "indigo" | "red";
}

export function Form({ submit, action, children, inline, color = "indigo" }: FormProps) {
  const [refusal, setRefusal] = useState("");
  const [isBusy, setBusy] = useState(false);
  const busy = useRef(false);

  async function onSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    if (busy.current) return;
    busy.current = true;
    setBusy(true);
    setRefusal("");
    for (const input of form.querySelectorAll("[aria-invalid=true]")) input.removeAttribute("aria-invalid");
    try {
      await action(valuesOf(form), form);
    } catch (error) {
      setRefusal(textOf(error));
      markInvalid(form, error);
    } finally {
      busy.current = false;
      setBusy(false);
    }
  }

  const send = (
    <Button type="submit" aria-disabled={isBusy} data-busy={isBusy || undefined} color={color} className="send">
      {submit}
    </Button>
  );
  const alert = refusal && (
    <Notice kind="refused" role="alert">
      {refusal}
    </Notice>
  );
  return (
    <form onSubmit={onSubmit}>
      {inline ? (
        <>
          <div className="inline-form">
            {children}
            {send}
          </div>
          {alert}
        </>
      ) : (
        <Stack gap="sm">
          {children}
          {alert}
          {send}
        </Stack>
      )}
    </form>
  );
}

function valuesOf(form: HTMLFormElement): Values {
  const values: Values = {};
  for (const [name, value] of new FormData(form)) if (typeof value === "string") values[name] = value;
  return values;
}

function markInvalid(form: HTMLFormElement, error: unknown): void {
  if (!(error instanceof Problem)) return;
  const names = [...(ABOUT[error.code] ?? []), ...error.errors.flatMap((each) => each.in)];
  for (const name of names) {
    const input = form.elements.namedItem(name);
    if (input instanceof HTMLElement) {
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
  }
}
