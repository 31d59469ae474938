// Says where PowerShell scripts are not PowerShell: node check.mjs FILE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Language, Parser } from "web-tree-sitter";

const require = createRequire(import.meta.url);
await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(require.resolve("tree-sitter-powershell/tree-sitter-powershell.wasm")));

function* faults(node) {
  if (node.isError || node.isMissing) yield node;
  for (const child of node.children) if (child.hasError || child.isMissing) yield* faults(child);
}

const files = process.argv.slice(2);
if (files.length === 0) throw new Error("no file is named");
for (const file of files) {
  for (const f of faults(parser.parse(readFileSync(file, "utf8")).rootNode)) {
    console.error(`${file}:${f.startPosition.row + 1}: ${f.isMissing ? `${f.type} is missing` : `not understood: ${f.text.split("\n")[0]}`}`);
    process.exitCode = 1;
  }
}
