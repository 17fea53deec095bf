import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "react-router";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { Moment } from "../parts/moment";
import { Tag } from "../parts/notice";
import { RowMenu } from "../parts/row_menu";
import { addressOfWorkspace } from "../workspace/address";
import { documentActions } from "./actions";

/** Of a document or a workspace. */
export function addressOfItem({ documentId, kind }: Pick<DocumentRow, "documentId" | "kind">): string {
  return kind === "workspace" ? addressOfWorkspace(documentId) : addressOfDocument(documentId);
}

export function addressOfDocument(documentId: string): string {
  return `/d/${encodeURIComponent(documentId)}`;
}

/** One document in a list. Arrow keys go from one to the next. */
export function Row({ item }: { item: DocumentRow }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const isGone = item.status === "trashed";
  const actions = documentActions(item, {
    open: (made) => navigate(addressOfItem(made)),
    refresh: () => queries.invalidateQueries({ queryKey: keys.documents }),
  });
  return (
    <div className="row link">
      <div className="grow">
        {isGone ? (
          <span className="name">{item.name}</span>
        ) : (
          <Link className="name" to={addressOfItem(item)} data-row>
            {item.name}
          </Link>
        )}
        <p className="meta">
          {item.kind === "workspace" && <Tag>workspace</Tag>}
          {item.role && item.role !== "owner" && <Tag kind="strong">{item.role}</Tag>}
          {item.status === "archived" && <Tag>archived</Tag>}
          {isGone && item.trashedAt ? (
            <span>
              in the trash since <Moment at={item.trashedAt} />
            </span>
          ) : (
            <span>
              edited <Moment at={item.editedAt} />
            </span>
          )}
        </p>
      </div>
      <RowMenu label={`Actions for ${item.name}`} actions={actions} />
    </div>
  );
}

/** Arrow keys among the names of a list. */
export function moveAmongRows(event: React.KeyboardEvent<HTMLElement>): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined || !(event.target instanceof HTMLElement) || !event.target.matches("[data-row]")) return;
  const names = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-row]")];
  const next = names[names.indexOf(event.target) + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}
