const NAMES = ["Edg", "OPR", "Firefox", "Chrome", "Safari"];
const SYSTEMS = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"];
const SHOWN: Record<string, string> = { Edg: "Edge", OPR: "Opera" };

/** A browser's name for itself, in short: `Firefox on Linux`. */
export function browserName(client: string): string {
  const name = NAMES.find((each) => client.includes(`${each}/`));
  if (name === undefined) return client || "a program";
  const system = SYSTEMS.find((each) => client.includes(each));
  return `${SHOWN[name] ?? name}${system ? ` on ${system}` : ""}`;
}
