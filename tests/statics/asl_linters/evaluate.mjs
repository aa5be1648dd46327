// Evaluates JSONata as its reference implementation does. In and out: one JSON value a line;
// in {expression, bindings}, out {value}, {} for nothing, or {error}.
import { createInterface } from "node:readline";
import jsonata from "jsonata";

const compiled = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const { expression, bindings } = JSON.parse(line);
  let answer;
  try {
    if (!compiled.has(expression)) compiled.set(expression, jsonata(expression));
    answer = { value: await compiled.get(expression).evaluate(undefined, bindings) };
  } catch (error) {
    answer = { error: `${error.code}: ${error.message}` };
  }
  console.log(JSON.stringify(answer));
}
