// Traces, datasets, prompts and an evaluation with the published TypeScript client; the report is
// like that of the Python drivers.

import { writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const base = new URL(process.env.OPIK_URL_OVERRIDE);
const project = process.env.OPIK_PROJECT_NAME;
const exchanges = [];
const send = globalThis.fetch;

function parsed(body, headers) {
  if (!body) return null;
  const bytes = Buffer.from(body);
  const isCompressed = new Headers(headers).get("content-encoding") === "gzip";
  try {
    return JSON.parse((isCompressed ? gunzipSync(bytes) : bytes).toString());
  } catch {
    return null;
  }
}

globalThis.fetch = async (target, options = {}) => {
  const reply = await send(target, options);
  const url = new URL(target.url ?? target);
  if (url.host === base.host) {
    exchanges.push({
      method: options.method ?? "GET",
      path: url.pathname.replace(base.pathname, "").replace(/^\/+/, ""),
      query: Object.fromEntries(url.searchParams),
      status: reply.status,
      sent: parsed(options.body, options.headers),
    });
  }
  return reply;
};

const { Contains, ExactMatch, Opik, evaluate, flushAll, track } = await import("opik");

function check(isTrue, what) {
  if (!isTrue) throw new Error(`it is not so: ${what}`);
}

const client = new Opik({ projectName: project });

async function traces() {
  const trace = client.trace({ name: "by hand", input: { q: "Grüße, 世界" }, metadata: { a: { b: [1, 2.5, null] } }, tags: ["t"], threadId: "thread" });
  const span = trace.span({ name: "model", type: "llm", input: { messages: [] }, model: "m", provider: "p", usage: { total_tokens: 3 } });
  const inner = span.span({ name: "inner", type: "tool", input: { i: 1 } });
  inner.update({ output: { inner: true } }).end();
  span.score({ name: "fluent", value: 0.25, reason: "so so" });
  span.update({ output: { text: "reply" } }).end();
  trace.score({ name: "helpful", value: 0.5 });
  trace.update({ output: { a: "reply" }, tags: ["t", "u"] }).end();
  const doubled = track({ name: "doubled", type: "general" }, async (number) => number * 2);
  const outer = track({ name: "outer" }, async (number) => (await doubled(number)) + 1);
  check((await outer(20)) === 41, "tracked functions return what they return");
  await flushAll();
  await client.flush();
  const found = await client.searchTraces({ projectName: project, filterString: 'name = "by hand"' });
  check(found.length === 1 && found[0].id === trace.data.id, "search finds the trace");
  return { trace: trace.data.id, span: span.data.id, inner: inner.data.id };
}

async function datasets() {
  const dataset = await client.getOrCreateDataset(`${project} capitals`, "made in TypeScript");
  const rows = [["France", "Paris"], ["Italy", "Rome"], ["Japan", "Tokyo"], ["Chile", "Lima"]];
  await dataset.insert(rows.map(([country, expected]) => ({ country, expected })));
  await dataset.insert([{ country: "France", expected: "Paris" }]);
  const items = await dataset.getItems();
  check(items.length === rows.length, `known items are not added again: ${items.length}`);
  const wrong = items.find((item) => item.country === "Chile");
  await dataset.update([{ ...wrong, expected: "Santiago" }]);
  const extra = items.find((item) => item.country === "Japan");
  await dataset.delete([extra.id]);
  const left = await (await client.getDataset(dataset.name)).getItems();
  check(left.length === 3, "the deleted item is gone");
  return { dataset, items: left };
}

async function evaluation(dataset) {
  const capitals = { France: "Paris", Italy: "Rome", Chile: "Valparaíso" };
  const result = await evaluate({
    dataset,
    task: async (item) => ({ output: capitals[item.country] }),
    scoringMetrics: [new ExactMatch(), new Contains("contains")],
    scoringKeyMapping: { substring: "expected" },
    experimentName: "typescript",
    experimentConfig: { model: "table" },
    projectName: project,
    client,
  });
  await client.flush();
  return {
    id: result.experimentId,
    items: result.testResults.map((test) => ({
      trace_id: test.testCase.traceId,
      item_id: test.testCase.datasetItemId,
      output: test.testCase.taskOutput,
      scores: Object.fromEntries(test.scoreResults.map((score) => [score.name, score.value])),
    })),
  };
}

async function prompts() {
  const first = await client.createPrompt({ name: `${project} prompt`, prompt: "Hello {{name}}", metadata: { tone: "warm" } });
  const same = await client.createPrompt({ name: first.name, prompt: "Hello {{name}}", metadata: { tone: "warm" } });
  check(same.commit === first.commit, "the same prompt is the same version");
  const second = await client.createPrompt({ name: first.name, prompt: "Bye {{name}}" });
  check(second.commit !== first.commit, "a changed prompt is a new version");
  const latest = await client.getPrompt({ name: first.name });
  check(latest.prompt === "Bye {{name}}", "the latest version is found");
  return { first: first.commit, second: second.commit };
}

const said = { traces: await traces() };
const { dataset, items } = await datasets();
said.items = items;
said.evaluation = await evaluation(dataset);
said.prompts = await prompts();
await client.flush();
writeFileSync(process.argv[2], JSON.stringify({ said, exchanges, is_flushed: true, lost: 0, warnings: [] }));
