import { Loader } from "@mantine/core";

/** Something is on its way. */
export function Opening() {
  return <Loader aria-label="Opening" role="status" className="loading" />;
}
