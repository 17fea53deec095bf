import { useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { openLink } from "../api/links";
import { textOf } from "../api/problem";
import { setArrival, useArrival } from "../arrival";
import { useSession } from "../session";
import { ExpiredLink } from "../states/expired_link";
import { Opening } from "../states/opening";

/** A share link: with an account the document is kept among one's own, without one it can be read. */
export default function OpenLink() {
  const arrival = useArrival();
  const { enterAsGuest } = useSession();
  const navigate = useNavigate();
  const [refusal, setRefusal] = useState("");
  const secret = arrival?.kind === "link" ? arrival.secret : "";
  useEffect(() => {
    if (!secret) return;
    let isOver = false;
    openLink(secret).then(
      ({ documentId, documentName, linkRole, guest }) => {
        if (isOver) return;
        enterAsGuest(guest ? { documentId, documentName, linkRole, secret } : null);
        navigate(`/d/${encodeURIComponent(documentId)}`, { replace: true });
        setArrival(null);
      },
      (error) => {
        if (!isOver) setRefusal(textOf(error));
      },
    );
    return () => {
      isOver = true;
    };
  }, [secret, enterAsGuest, navigate]);
  if (refusal) return <ExpiredLink text={refusal} />;
  return secret ? <Opening /> : <ExpiredLink />;
}
