/** Files on their way to become documents: how far it is, and what came of each. */

import { Button, Group, Modal, Progress, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import { Link } from "react-router";
import { keys } from "../api/keys";
import { Tag } from "../parts/notice";
import { type Import, plan, runImports } from "./importing";
import { addressOfDocument } from "./row";

export function ImportDialog({ files, onClose }: { files: readonly File[]; onClose: () => void }) {
  const [imports, setImports] = useState<Import[]>([]);
  const queries = useQueryClient();
  const run = useCallback(
    async (list: Import[]) => {
      setImports(list);
      const changed = (next: Import) =>
        setImports((before) => before.map((each) => (each.key === next.key ? next : each)));
      await runImports(list, changed);
      await queries.invalidateQueries({ queryKey: keys.documents });
    },
    [queries],
  );
  useEffect(() => {
    if (files.length > 0) void run(plan(files));
  }, [files, run]);

  const over = imports.filter((each) => each.state === "done" || each.state === "refused").length;
  const done = imports.filter((each) => each.state === "done").length;
  const isOver = over === imports.length;
  const again = imports.filter((each) => each.state === "refused" && each.isWorthAgain);
  const retry = () =>
    run(imports.map((each) => (again.includes(each) ? { ...each, state: "waiting", reason: "" } : each)));
  const summary = isOver
    ? `${done} of ${imports.length} imported.`
    : `Importing: ${over} of ${imports.length} are finished.`;
  return (
    <Modal opened={files.length > 0} onClose={onClose} title="Import" size="lg" closeOnClickOutside={isOver}>
      <Stack>
        <Text role="status">{summary}</Text>
        <Progress value={(100 * over) / Math.max(1, imports.length)} aria-label="Files imported" />
        <ul className="rows" aria-label="Files">
          {imports.map((each) => (
            <li key={each.key} className="row">
              <ImportName item={each} onOpen={onClose} />
              <ImportState item={each} />
            </li>
          ))}
        </ul>
        <Group justify="flex-end">
          {isOver && again.length > 0 && <Button onClick={() => void retry()}>Try {again.length} again</Button>}
          <Button variant="default" onClick={onClose}>
            {isOver ? "Done" : "Go on in the background"}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function ImportName({ item, onOpen }: { item: Import; onOpen: () => void }) {
  return (
    <div className="grow">
      {item.state === "done" ? (
        <Link className="name" to={addressOfDocument(item.documentId)} onClick={onOpen}>
          {item.file.name}
        </Link>
      ) : (
        <span className="name">{item.file.name}</span>
      )}
      {item.reason && <p className="meta dangerous">{item.reason}</p>}
    </div>
  );
}

function ImportState({ item }: { item: Import }) {
  if (item.state === "done") return <Tag kind="good">imported</Tag>;
  if (item.state === "refused") return <Tag kind="warning">not imported</Tag>;
  return <Tag>{item.state === "sending" ? "on its way" : "waiting"}</Tag>;
}
