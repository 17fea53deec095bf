import { Textarea } from "@mantine/core";
import { askForAccess } from "../api/access_requests";
import { Form } from "../parts/form";

/** A word to the owners of a document. */
export default function AskForm({ documentId, onAsked }: { documentId: string; onAsked: () => void }) {
  return (
    <Form
      submit="Send the request"
      action={async ({ message = "" }) => {
        await askForAccess(documentId, message.trim());
        onAsked();
      }}
    >
      <Textarea
        name="message"
        label="A word to its owners (optional)"
        description="They see your name and handle."
        maxLength={500}
        rows={3}
        autoFocus
      />
    </Form>
  );
}
