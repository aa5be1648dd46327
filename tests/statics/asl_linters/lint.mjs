// Lints the ASL files named on the command line and prints a JSON array of {file, problem, linter}.
// Called by tests/statics/asl_linters/__init__.py, which adds what PyPI's statelint finds.
import { readFileSync } from "node:fs";
import aslService from "amazon-states-language-service";
import validate from "asl-validator";
// 2.0.6, the version Step Functions runs. asl-validator brings a newer one, which also accepts
// operators (`??`, `?:`) that Step Functions rejects.
import jsonata from "jsonata";

const SERVICE_FUNCTIONS = ["hash", "parse", "partition", "random", "range", "uuid"];

/** Schema of every state, and the JSONata of the fields the schema knows. */
function schema(text) {
  // Its patterns refuse two things that Step Functions accepts: an empty string and a line break inside an expression.
  const accepted = (_, value) => (typeof value === "string" ? value.replaceAll("\n", " ") || "empty" : value);
  return validate(JSON.parse(text, accepted)).errors.map((error) => error.Message);
}

/** Transitions, unreachable states, misspelt fields and duplicate keys. */
async function reachability(text) {
  const service = aslService.getLanguageService({});
  const document = aslService.TextDocument.create("file:///machine.asl.json", "asl", 1, text);
  const diagnostics = await service.doValidation(document, service.parseJSONDocument(document));
  return diagnostics.map(({ range, message }) => `line ${range.start.line + 1}: ${document.getText(range)}: ${message}`);
}

/** Syntax of every `{% … %}` wherever it stands, and names that nothing defines. */
async function expressions(text) {
  const found = [];
  const assigned = new Set(["states"]);
  const visit = (value, path) => {
    if (typeof value === "string" && (value.startsWith("{%") || value.endsWith("%}"))) found.push([path, value]);
    if (value === null || typeof value !== "object") return;
    for (const [key, child] of Object.entries(value)) {
      if (key === "Assign") Object.keys(child).forEach((name) => assigned.add(name));
      visit(child, `${path}/${key}`);
    }
  };
  visit(JSON.parse(text), "");

  const problems = [];
  for (const [path, value] of found) {
    const expression = /^\{%([^]*)%\}$/.exec(value)?.[1];
    if (expression === undefined) {
      problems.push(`${path}: an expression must start with {% and end with %}`);
      continue;
    }
    let ast;
    try {
      ast = jsonata(expression).ast();
    } catch (error) {
      problems.push(`${path}: ${error.message} (at character ${error.position} of the expression)`);
      continue;
    }
    const { used, bound } = names(ast);
    for (const name of used)
      if (!bound.has(name) && !assigned.has(name) && !(await isFunction(name)))
        problems.push(`${path}: nothing defines $${name}`);
  }
  return problems;
}

/** The names an expression uses, and those it binds itself (`:=`, parameters, `@$x`, `#$i`). */
function names(ast) {
  const used = new Set();
  const bound = new Set(["", "$"]);
  const seen = new Set();
  const visit = (node) => {
    if (node === null || typeof node !== "object" || seen.has(node)) return;
    seen.add(node);
    if (node.type === "variable") used.add(node.value);
    if (node.type === "bind") bound.add(node.lhs.value);
    if (node.type === "lambda") node.arguments.forEach((parameter) => bound.add(parameter.value));
    for (const name of [node.focus, node.index]) if (typeof name === "string") bound.add(name);
    Object.values(node).forEach(visit);
  };
  visit(ast);
  return { used, bound };
}

async function isFunction(name) {
  if (name === "eval") return false; // Step Functions leaves it out
  return SERVICE_FUNCTIONS.includes(name) || jsonata(`$exists($${name})`).evaluate({});
}

const LINTERS = { "asl-validator": schema, "amazon-states-language-service": reachability, jsonata: expressions };

const problems = [];
for (const file of process.argv.slice(2)) {
  const text = readFileSync(file, "utf8");
  for (const [linter, lint] of Object.entries(LINTERS))
    for (const problem of await lint(text)) problems.push({ file, problem, linter });
}
console.log(JSON.stringify(problems));
