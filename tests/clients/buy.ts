// Buys by a generated client: every field is typed, a misspelt one does not compile.
import { strictEqual } from "node:assert";
import createClient from "openapi-fetch";
import type { components, paths } from "./order.js";

const [baseUrl, key] = process.argv.slice(2);
if (baseUrl === undefined || key === undefined) throw new Error("usage: buy.js URL KEY");
const headers = { Authorization: `Bearer ${process.env["ACCESS_TOKEN"]}` };
const client = createClient<paths>({ baseUrl, headers });
const body: components["schemas"]["Checkout"] = {
  lines: [{ sku: "RETRO-CLOCK", quantity: 2 }],
  currency: "EUR",
  payment_token: "tok_visa",
  country: "DE",
  postal_code: "10115",
};

const placed = await client.POST("/checkout", {
  body,
  params: { header: { "Idempotency-Key": key, Prefer: "wait=30" } },
});
if (placed.data === undefined) throw new Error(placed.error.detail);
const state: "PENDING" | "CANCELLING" | "CONFIRMED" | "CANCELLED" = placed.data.state;
strictEqual(state, "CONFIRMED");
strictEqual(placed.data.lines[0]?.quantity, 2);

const order_id = placed.data.order_id;
const found = await client.GET("/orders/{order_id}", { params: { path: { order_id } } });
strictEqual(found.data?.timeline[0]?.said, "order.placed.v1");

const missing = await client.GET("/orders/{order_id}", {
  params: { path: { order_id: "none" } },
});
strictEqual(missing.data, undefined);
strictEqual(missing.error?.code, "unknown_order");

const page = await client.GET("/orders", {
  params: { query: { limit: 1 } },
});
strictEqual(page.data?.orders[0]?.order_id, order_id);
console.log(order_id);
