/** The styles of what only the share dialog uses. */

import "@mantine/core/styles/Combobox.layer.css";
