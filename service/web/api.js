// The page's client of the service. Every call and every stream of the page goes through it.
import { createClient } from "./client.js";

export const client = createClient();
export const { get, post, now } = client;
