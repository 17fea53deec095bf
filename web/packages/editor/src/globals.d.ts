/** The version of this page, as in package.json. */
declare const __APP_VERSION__: string;
