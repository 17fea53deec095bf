/** The document that a new account finds: what one can do here, to be tried in the document itself. */

export const WELCOME_NAME = "Welcome to Coscribe";

export const WELCOME_TEXT = `# Welcome to Coscribe

This is a document of your own. Change it: everything you type is saved while you type.

## Things to try

- Write here. What you see as "Saved" has been written to the server's disk.
- Open this document in a second window, or on your phone, and type in both.
- Press Share above, and invite somebody by handle or e-mail, or make a link to read or to edit. You see each other's carets, and nothing that one of you writes overwrites what the other writes.
- Pull the plug: without a connection you go on writing. It is kept on this device, and sent when the server can be reached again.
- Undo takes back what you wrote yourself, never what others wrote.
- Open the history: every change is kept, with who made it and when. Any state can be looked at and brought back.
- Drop text files on the list of documents to import them, many at once.

## Good to know

- Viewers read, editors write, owners also share, archive and delete.
- What is moved to the trash can be restored until it is deleted for good.
- Under Account you find your sessions, your e-mail address, and tokens for programs: what a person can do here, a program can do by the API too.

You can delete this document whenever you like.
`;
