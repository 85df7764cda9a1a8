/** The client of the service. docs/clients.md shows how to use it; the API's shapes are in docs/api.md. */

export type SyncState = "in_progress" | "paused" | "complete" | "failed" | "cancelled";
export type EventKind = "progress" | "paused" | "complete" | "failed" | "cancelled";
/** live: the stream works. polling: only calls work. offline: neither works; the data may be old. */
export type LinkState = "live" | "polling" | "offline";

export interface Warning {
  dataset: string | null;
  code: string;
  message: string;
  count: number;
}

export interface Dataset {
  name: string;
  status: "pending" | "in_progress" | "complete" | "partial" | "failed" | "unknown";
  processed: number;
  /** Null until it is known. */
  total: number | null;
  failed: number;
  created: number;
  updated: number;
  unchanged: number;
  deleted: number;
  /** Stored records whose amount the source has changed, on so many days; the amounts are what they
   * changed by. */
  restated: { records: number; days: number; amounts: { currency: string; amount: string }[] } | null;
  /** From 0 to 1. */
  fraction: number | null;
  waitingUntil: string | null;
  waiting: { for: string; operation: string | null; until: string } | null;
  /** The span of time that is read; null for a snapshot of today. */
  window: { since: string; until: string } | null;
  code: string | null;
  error: string | null;
}

/** A row of the history. */
export interface SyncRow {
  syncId: string;
  status: SyncState;
  stage: "queued" | "starting" | "fetching" | "processing" | "finalizing" | "complete";
  /** Percent. */
  progress: number;
  message: string;
  startedAt: string;
  completedAt: string | null;
  updatedAt: string;
  ordersProcessed: number;
  totalOrders: number | null;
  recordsProcessed: number;
  recordsFailed: number;
  /** Null once the sync has ended with claims unknown. */
  claimsDetected: number | null;
  warningsCount: number;
  /** Seconds. */
  duration: number | null;
  attempt: number;
  /** Grows with every change. */
  version: number;
  error: { code: string; message: string; retryable: boolean } | null;
  connector: string;
  connectionId: string;
  trigger: "user" | "schedule" | "connect" | "notification";
  kind: "historical" | "incremental" | "full" | "dry_run";
  dryRun: boolean;
}

/** A sync at one version. */
export interface Sync extends SyncRow {
  datasets: Dataset[];
  warnings: Warning[];
  /** As of `updatedAt`. */
  estimatedSecondsRemaining: number | null;
  waitingUntil: string | null;
  maxAttempts: number;
  /** Days of the orders, by whether a second source agrees; null if they were not compared. */
  completeness: { confirmed: number; singleSourced: number; short: number } | null;
  options: Record<string, unknown>;
}

export interface Started {
  syncId: string;
  status: SyncState;
  message: string;
  statusUrl: string;
  streamUrl: string;
}

export interface StartOptions {
  connectionId?: string;
  datasets?: string[];
  since?: string;
  until?: string;
  dryRun?: boolean;
  overwrite?: boolean;
  allowMassDelete?: boolean;
  priority?: number;
  onConflict?: "reject" | "attach";
}

export interface ConnectOptions {
  connector: string;
  skipHistoricalSync?: boolean;
  /** What the connector needs; `connectors()` describes it. */
  [setting: string]: unknown;
}

export interface History {
  syncs: SyncRow[];
  total: number | null;
  nextCursor: string | null;
}

/** A response; docs/api.md describes its fields. */
export type Body = Record<string, any>;
export type Query = Record<string, string | number | boolean | null | undefined>;

/** The options of fetch. A `body` is any JSON; `response` takes it as fetch does. */
export interface Init extends Omit<RequestInit, "body" | "headers" | "method"> {
  body?: unknown;
  headers?: Record<string, string>;
  query?: Query;
}

/** All callbacks are optional. The versions of a sync only rise, until a reset. */
export interface Callbacks {
  /** Each newer version, and the kind of its event. */
  onChange?(sync: Sync, kind: EventKind): void;
  onProgress?(sync: Sync): void;
  onPaused?(sync: Sync): void;
  /** Called once. A subscription to one sync then ends, as after a failure or a cancellation. */
  onComplete?(sync: Sync): void;
  onFailed?(sync: Sync): void;
  onCancelled?(sync: Sync): void;
  /** The versions of this sync start again: the service has restored an older database. */
  onReset?(sync: { syncId: string }): void;
  /** The user has too many streams. This one is replaced by polls, and tried again in a minute. */
  onEvicted?(event: { reason: string }): void;
  onLink?(state: LinkState): void;
  /** The service refuses the credential or does not know the sync. The subscription has ended. */
  onError?(problem: ProblemError): void;
}

export interface Options {
  /** The address of the service; default: that of the page. */
  baseUrl?: string;
  /** A JWT. Without one, the session cookie is used. */
  token?: string;
  /** Returns the JWT for a call; `refresh` is true after the service has refused the last one. */
  getToken?(how: { refresh: boolean }): string | null | undefined | Promise<string | null | undefined>;
  /** Returns a ticket for the stream of a sync, for pages that have no token. Called at each connect. */
  getTicket?(syncId: string): Promise<string | { ticket: string }>;
  /** Default "sse". A WebSocket is for subscriptions to one sync. */
  transport?: "sse" | "websocket";
  /** Whether the tabs of a browser share one stream. Default true. */
  share?: boolean;
  /** Milliseconds of silence after which the client polls. Default 20,000; not below 16,000, since
   * the service is silent for 15 s. */
  watchdog?: number;
  /** Milliseconds between two polls. Default 4,000. */
  pollInterval?: number;
  /** Milliseconds after which a tab asks whether the one that has the stream is alive. Default 1,500. */
  beat?: number;
  fetch?: typeof fetch;
  /** For Node 20, which has no WebSocket. */
  WebSocket?: new (url: string | URL) => WebSocket;
}

export interface Client {
  connectors(): Promise<Body>;
  connect(options: ConnectOptions): Promise<Body>;
  connections(): Promise<Body>;
  me(): Promise<Body>;
  /** With the header `Prefer: wait=30`, the answer may be the sync itself. */
  start(options?: StartOptions, init?: Init): Promise<Started>;
  /** Without an id: the live sync, or the newest. */
  status(syncId?: string): Promise<Sync>;
  cancel(syncId: string): Promise<Sync>;
  resume(syncId: string): Promise<Started>;
  history(query?: Query): Promise<History>;
  recoveries(query?: Query): Promise<Body>;
  /** Follows a sync to its end. Returns a function that stops. */
  subscribe(syncId: string, callbacks: Callbacks): () => void;
  /** Follows all syncs of the user, also those that others start. Not available with tickets. */
  subscribeAll(callbacks: Callbacks): () => void;
  /** Makes any other call: sends and returns JSON. */
  request<Answer = any>(method: string, path: string, init?: Init): Promise<Answer>;
  get<Answer = any>(path: string, query?: Query, init?: Init): Promise<Answer>;
  post<Answer = any>(path: string, body?: unknown, init?: Init): Promise<Answer>;
  /** The raw response, for example of a download. */
  response(method: string, path: string, init?: RequestInit): Promise<Response>;
  /** The service's time in milliseconds, for countdowns. */
  now(): number;
}

/** An error response of the service (RFC 9457). */
export class ProblemError extends Error {
  /** 0: no response. */
  readonly status: number;
  /** For programs, for example sync_already_running. */
  readonly code: string | null;
  /** What is wrong and what to do. */
  readonly detail: string;
  /** The errors of invalid fields. */
  readonly errors: { field: string; message: string }[];
  readonly requestId: string | null;
  /** Seconds. */
  readonly retryAfter: number | null;
  readonly body: Body;
}

export function createClient(options?: Options): Client;
/** Whether a sync has ended. A paused one has not. */
export function ended(sync: { status: SyncState }): boolean;
