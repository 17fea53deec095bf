/** What dialogs ask and show. */

import { Button, CopyButton, Group, Stack, Text, TextInput } from "@mantine/core";
import type { ReactNode } from "react";
import { say } from "../shell/say";
import { Form } from "./form";

interface Closing {
  close: (answer?: string) => void;
}

interface QuestionProps extends Closing {
  text: ReactNode;
  yes: string;
  isDangerous: boolean;
}

export function Question({ text, yes, isDangerous, close }: QuestionProps) {
  return (
    <Stack>
      <Text>{text}</Text>
      <Group justify="flex-end">
        <Button variant="default" data-autofocus onClick={() => close()}>
          Cancel
        </Button>
        <Button color={isDangerous ? "red" : "indigo"} onClick={() => close("yes")}>
          {yes}
        </Button>
      </Group>
    </Stack>
  );
}

export interface AskedText {
  label: string;
  value: string;
  submit: string;
}

interface TextQuestionProps extends AskedText, Closing {
  action: (text: string) => Promise<unknown>;
}

export function TextQuestion({ label, value, submit, action, close }: TextQuestionProps) {
  return (
    <Form
      submit={submit}
      action={async ({ text = "" }) => {
        await action(text.trim());
        close("done");
      }}
    >
      <TextInput
        name="text"
        label={label}
        defaultValue={value}
        required
        maxLength={256}
        autoComplete="off"
        data-autofocus
        onFocus={(event) => event.currentTarget.select()}
      />
    </Form>
  );
}

interface SecretProps extends Closing {
  title: string;
  text: string;
  secret: string;
}

export function Secret({ title, text, secret, close }: SecretProps) {
  return (
    <Stack>
      <Text>{text}</Text>
      <TextInput
        aria-label={title}
        value={secret}
        readOnly
        ff="monospace"
        onFocus={(event) => event.currentTarget.select()}
      />
      <Group justify="flex-end">
        <CopyButton value={secret}>
          {({ copy }) => (
            <Button
              data-autofocus
              onClick={() => {
                copy();
                say("Copied.");
              }}
            >
              Copy
            </Button>
          )}
        </CopyButton>
        <Button variant="default" onClick={() => close("done")}>
          Done
        </Button>
      </Group>
    </Stack>
  );
}
