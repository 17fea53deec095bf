import { Button } from "@mantine/core";
import { Link } from "react-router";

/** The way back that is always there. */
export function HomeLink({ text = "To your documents" }: { text?: string }) {
  return (
    <Button component={Link} to="/" variant="default">
      {text}
    </Button>
  );
}
