/** Everything that can be done with a document and has no button of its own. Open from the beginning. */

import type { Document } from "@coscribe/client";
import { ActionIcon, Menu, useMantineColorScheme } from "@mantine/core";
import { IconDots } from "@tabler/icons-react";
import { Link } from "react-router";
import { download } from "../parts/download";
import { useStatusOf } from "./use_document";

export interface MoreProps {
  /** Undefined: no text is shown. */
  readonly document: Document | undefined;
  readonly name: string;
  /** Its address; "": there is none, or not for whoever looks. */
  readonly history: string;
  readonly onReport: () => void;
}

export default function MoreMenu({ document, name, history, onReport }: MoreProps) {
  const { setColorScheme } = useMantineColorScheme();
  return (
    <Menu position="bottom-end" shadow="md" width={240} defaultOpened>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="More">
          <IconDots size={20} aria-hidden="true" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {history !== "" && (
          <Menu.Item component={Link} to={history}>
            History
          </Menu.Item>
        )}
        {document && <OfText document={document} name={name} />}
        <Menu.Label>Colours</Menu.Label>
        <Menu.Item onClick={() => setColorScheme("light")}>Light</Menu.Item>
        <Menu.Item onClick={() => setColorScheme("dark")}>Dark</Menu.Item>
        <Menu.Item onClick={() => setColorScheme("auto")}>Like the system</Menu.Item>
        {document && (
          <>
            <Menu.Divider />
            <Menu.Item onClick={onReport}>Report a problem</Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function OfText({ document, name }: { readonly document: Document; readonly name: string }) {
  const canEdit = useStatusOf(document, (status) => status.canEdit);
  return (
    <>
      <Menu.Item onClick={() => download(new Blob([document.text], { type: "text/plain" }), fileName(name))}>
        Download the text
      </Menu.Item>
      <Menu.Item onClick={() => print()}>Print</Menu.Item>
      <Menu.Divider />
      <Menu.Item disabled={!canEdit || !document.canUndo} onClick={() => document.undo()} rightSection="Ctrl Z">
        Undo
      </Menu.Item>
      <Menu.Item disabled={!canEdit || !document.canRedo} onClick={() => document.redo()} rightSection="Ctrl Y">
        Redo
      </Menu.Item>
      <Menu.Divider />
    </>
  );
}

/** A name that any system takes for a file. */
function fileName(name: string): string {
  const safe = name.replaceAll(/[/\\:*?"<>|\p{Cc}]/gu, "_").replace(/^[. ]+|[. ]+$/g, "");
  return /\.[^.]+$/.test(safe) ? safe : `${safe || "document"}.txt`;
}
