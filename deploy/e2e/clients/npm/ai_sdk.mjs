// The AI SDK as an application uses it, through one of its providers: each line that is printed is one use and what it gave.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const [kind] = process.argv.slice(2);
const settings = { baseURL: `${process.env.STEWARD_URL}/v1`, apiKey: process.env.STEWARD_API_KEY };
const compatible = createOpenAICompatible({ ...settings, name: "steward", includeUsage: true, supportsStructuredOutputs: true });
const makers = {
  responses: createOpenAI(settings).responses,
  chat: createOpenAI(settings).chat,
  compatible,
  anthropic: createAnthropic(settings),
};
const named = makers[kind];
const model = named("small");
const asked = [];
const weather = tool({
  description: "Tells the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    asked.push(city);
    return "sunny";
  },
});
const limits = { model, maxOutputTokens: 32, maxRetries: 0 };
const withTool = { ...limits, prompt: "weather in Paris?", tools: { weather }, stopWhen: isStepCount(3) };

function tell(use, gave, usage) {
  console.log(JSON.stringify({ use, gave, usage: { input: usage.inputTokens, output: usage.outputTokens ?? 0 } }));
}

const whole = await generateText({ ...limits, prompt: "hello" });
tell("generateText", whole.text, whole.usage);

const stream = streamText({ ...limits, prompt: "hello" });
let pieces = "";
for await (const piece of stream.textStream) pieces += piece;
tell("streamText", pieces, await stream.usage);

const called = await generateText(withTool);
tell("tool", called.text, called.totalUsage);

const streamed = streamText(withTool);
let last = "";
for await (const piece of streamed.textStream) last += piece;
tell("streamed tool", last, await streamed.totalUsage);
console.log(JSON.stringify({ use: "asked", gave: asked }));

const visit = z.object({ city: z.string(), people: z.number() });
const output = Output.object({ schema: visit });
const object = await generateText({ ...limits, prompt: "who visits?", output });
tell("object", object.output, object.usage);

const { object: generated, usage: generating } = await generateObject({ ...limits, prompt: "who visits?", schema: visit });
tell("generateObject", generated, generating);

if (kind === "responses" || kind === "compatible") {
  const embedder = kind === "responses" ? createOpenAI(settings) : compatible;
  const { embeddings, usage } = await embedMany({ model: embedder.embeddingModel("small"), values: ["one", "three"], maxRetries: 0 });
  tell("embed", embeddings, { inputTokens: usage.tokens });
}

// What Steward refuses comes as the SDK's own error, with the status.
try {
  await generateText({ ...limits, model: named("huge"), prompt: "hello" });
} catch (refused) {
  console.log(JSON.stringify({ use: "refusal", gave: [refused.name, refused.statusCode, refused.isRetryable] }));
}
