import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { listAllDocuments } from "../api/admin";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { documentActions } from "../documents/actions";
import { addressOfItem } from "../documents/row";
import { Moment } from "../parts/moment";
import { PagedList } from "../parts/more";
import { Tag } from "../parts/notice";
import { RowMenu } from "../parts/row_menu";
import { Searched } from "./search";

/** Names and states of all documents of the server; no text. */
export function AllDocuments() {
  return (
    <Searched label="Find documents by name">
      {(search) => (
        <PagedList
          name={[...keys.adminDocuments, search]}
          page={(cursor) => listAllDocuments(search, cursor)}
          idOf={(item) => item.documentId}
          row={(item) => <AnyDocument item={item} />}
          label="All documents"
          empty={<p className="empty">There is no such document.</p>}
        />
      )}
    </Searched>
  );
}

function AnyDocument({ item }: { item: DocumentRow }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const actions = documentActions(item, {
    open: (made) => navigate(addressOfItem(made)),
    refresh: () => queries.invalidateQueries({ queryKey: keys.adminDocuments }),
    isManager: true,
  });
  return (
    <div className="row">
      <div className="grow">
        <span className="name">{item.name}</span>
        <p className="meta">
          {item.status !== "active" && <Tag>{item.status}</Tag>}
          <span>
            edited <Moment at={item.editedAt} />
          </span>
          <code>{item.documentId}</code>
        </p>
      </div>
      <RowMenu label={`Actions for ${item.name}`} actions={actions} />
    </div>
  );
}
