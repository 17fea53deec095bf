/**
 * "Report a problem": what whoever runs the server needs to understand it, as one file that the person looks at and
 * hands on. Nothing is sent anywhere by itself, and no text of the document is in it unless the person ticks that.
 */

import type { Document } from "@coscribe/client";
import { Button, Checkbox, Code, Group, Modal, ScrollArea, Stack, Text, Textarea } from "@mantine/core";
import { useEffect, useState } from "react";
import { download } from "../parts/download";

interface Props {
  readonly document: Document;
  readonly opened: boolean;
  readonly onClose: () => void;
}

export function ReportDialog({ document, opened, onClose }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title="Report a problem" size="lg">
      {opened && <Report document={document} onClose={onClose} />}
    </Modal>
  );
}

function Report({ document, onClose }: Omit<Props, "opened">) {
  const [words, setWords] = useState("");
  const [withText, setWithText] = useState(false);
  const [bundle, setBundle] = useState("");
  useEffect(() => {
    let isCurrent = true;
    void reportBundle(document, words, withText).then((made) => {
      if (isCurrent) setBundle(made);
    });
    return () => {
      isCurrent = false;
    };
  }, [document, words, withText]);
  const keep = () => {
    download(new Blob([bundle], { type: "application/json" }), `coscribe-report-${document.fileId}.json`);
    onClose();
  };
  return (
    <Stack>
      <Text size="sm">
        This makes a file with the state of the editor, its latest messages without their texts, checksums and versions.
        Give it to whoever runs this server.
      </Text>
      <Textarea
        label="What went wrong?"
        description="What you did, what you saw, what you expected."
        autosize
        minRows={2}
        value={words}
        onChange={(event) => setWords(event.currentTarget.value)}
      />
      <Checkbox
        size="md"
        label="Include the text of the document"
        checked={withText}
        onChange={(event) => setWithText(event.currentTarget.checked)}
      />
      <ScrollArea.Autosize mah={220} type="auto">
        <Code block tabIndex={0} aria-label="The report">
          {bundle.length > 20_000 ? `${bundle.slice(0, 20_000)}\n…` : bundle}
        </Code>
      </ScrollArea.Autosize>
      <Group justify="flex-end">
        <Button variant="default" onClick={() => void navigator.clipboard.writeText(bundle)}>
          Copy
        </Button>
        <Button onClick={keep}>Download</Button>
      </Group>
    </Stack>
  );
}

/** The report as JSON. */
export async function reportBundle(document: Document, words: string, withText: boolean): Promise<string> {
  const report = {
    report: 1,
    madeAt: new Date().toISOString(),
    words,
    page: {
      userAgent: navigator.userAgent,
      language: navigator.language,
      online: navigator.onLine,
      app: __APP_VERSION__,
    },
    client: await document.diagnostics(),
    ...(withText ? { text: document.text } : {}),
  };
  return JSON.stringify(report, null, 2);
}
