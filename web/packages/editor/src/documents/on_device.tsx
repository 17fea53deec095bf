import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { documentsOnDevice } from "../unsent";

/** What can be opened without a connection. */
export function OnDevice({ userId }: { userId: string }) {
  const found = useQuery({ queryKey: ["on device", userId], queryFn: () => documentsOnDevice(userId) });
  if (!found.data?.length) return <p className="empty">No document is kept on this device.</p>;
  return (
    <ul className="rows" aria-label="Documents on this device">
      {found.data.map(({ documentId, name, address, edits }) => (
        <li key={documentId}>
          <div className="row link">
            <div className="grow">
              <Link className="name" to={address} data-row>
                {name}
              </Link>
              {edits > 0 && <p className="meta">{edits === 1 ? "1 edit" : `${edits} edits`} to be sent</p>}
            </div>
          </div>
        </li>
      ))}
    </ul>
  );
}
