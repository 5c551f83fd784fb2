/**
 * A small server for tests that answers like the Hugging Face hub: models and data sets at their commits, lists in pages,
 * large files on a server of their own, tokens, and faults on demand.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A repository of the hub. */
export interface HubRepository {
  readonly commit: string;
  /**
   * Content by path. Names that end in `.safetensors`, `.onnx` or `.parquet` are large files: served by another server,
   * with a SHA-256.
   */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Who may read it. */
  readonly token?: string;
  /** Further names of the commit. Default `main`. */
  readonly branches?: readonly string[];
  /** What it was at other commits. */
  readonly earlier?: readonly HubRepository[];
}

/** A request that a server of the hub has seen. */
export interface HubCall {
  readonly server: 'hub' | 'storage';
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** Starts a hub without repositories at free ports of this machine. */
export async function startHub(): Promise<HubServer> {
  const hub = new HubServer();
  await hub.start();
  return hub;
}

/**
 * A hub that is running: `api/models/NAME/revision/REVISION`, `api/models/NAME/tree/COMMIT/FOLDER` (in pages), and
 * `NAME/resolve/COMMIT/PATH`, which sends large files on to a second server, as the hub does to its storage. Data sets
 * have `datasets` in the place of `models`, and `datasets/` before the names of their files. It can break in several ways.
 */
export class HubServer {
  /** By name; those of data sets begin with `datasets/`. */
  readonly repositories: Map<string, HubRepository> = new Map<string, HubRepository>();
  /** What was asked, in order. */
  readonly seen: HubCall[] = [];
  /**
   * Answers with these statuses before the right one: by `revision`, `tree`, or the path of a file, with `storage:` before
   * it for the server of large files.
   */
  readonly statuses: Map<string, number[]> = new Map<string, number[]>();
  /** Breaks the connection after so many bytes of a file, once for each entry. */
  readonly cuts: Map<string, number[]> = new Map<string, number[]>();
  /** Sends other bytes than the listing promises, this many times. */
  readonly damages: Map<string, number> = new Map<string, number>();
  /** Whether files are sent from their beginning, whatever is asked for. */
  ignoresRange = false;
  /** Headers of answers that refuse a request. */
  refusalHeaders: Readonly<Record<string, string>> = {};
  /** Whether small files have ETags of another making than git's, as mirrors of the hub give them. */
  foreignEtags = false;
  /** Whether the list of files leaves out their ids. */
  withoutIds = false;
  readonly #hub: Server = createServer((request, response) => this.#answer('hub', request, response));
  readonly #storage: Server = createServer((request, response) => this.#answer('storage', request, response));

  /** @internal */
  async start(): Promise<void> {
    for (const server of [this.#hub, this.#storage])
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  }

  /** Its address, for `HF_ENDPOINT`. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  /** Stops answering; may be called twice. */
  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    }
  }

  #answer(server: HubCall['server'], request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url!, this.endpoint);
    const path = decodeURIComponent(pathname);
    const { range, authorization } = request.headers;
    this.seen.push({ server, path, range, authorization });
    if (server === 'storage') {
      const [, commit, ...names] = path.slice(1).split('/');
      const file = names.join('/');
      const status = this.statuses.get(`storage:${file}`)?.shift();
      if (status !== undefined) return this.#refuse(response, status, 'Broken');
      const all = [...this.repositories.values()].flatMap((each) => [each, ...(each.earlier ?? [])]);
      const repository = all.find((candidate) => candidate.commit === commit)!;
      this.#send(repository, file, range, response, { etag: '"an-etag-of-the-storage"' });
      return;
    }
    const api = decoded(/^\/api\/(models|datasets)\/(.+?)\/(revision|tree)\/([^/]+)(?:\/(.+))?$/u.exec(pathname));
    const resolve = decoded(/^\/(.+?)\/resolve\/([^/]+)\/(.+)$/u.exec(pathname));
    const name = api && `${api[1] === 'datasets' ? 'datasets/' : ''}${api[2]}`;
    const current = this.repositories.get(name ?? resolve?.[1] ?? '');
    if (!current) return this.#refuse(response, 404, 'RepoNotFound');
    if (current.token && authorization !== `Bearer ${current.token}`)
      return this.#refuse(response, authorization ? 403 : 401, 'GatedRepo');
    const key = api ? api[3]! : resolve![3]!;
    const status = this.statuses.get(key)?.shift();
    if (status !== undefined) return this.#refuse(response, status, 'Broken');
    const revision = api ? api[4]! : resolve![2]!;
    const isBranch = (current.branches ?? ['main']).includes(revision);
    const repository = isBranch
      ? current
      : [current, ...(current.earlier ?? [])].find(({ commit }) => commit === revision);
    if (repository === undefined) return this.#refuse(response, 404, 'RevisionNotFound');
    if (api?.[3] === 'revision')
      return this.#json(response, { _id: '1', id: api[2], sha: repository.commit, lastModified: '2026-01-01' });
    if (api) return this.#list(repository, api[5], Number(searchParams.get('cursor') ?? 0), pathname, response);
    return this.#resolve(repository, resolve![3]!, range, response);
  }

  /** Three entries a page. */
  #list(
    repository: HubRepository,
    folder: string | undefined,
    cursor: number,
    path: string,
    response: ServerResponse,
  ): void {
    const within = Object.entries(repository.files).filter(
      ([file]) => folder === undefined || file.startsWith(`${folder}/`),
    );
    if (folder !== undefined && within.length === 0) return this.#refuse(response, 404, 'EntryNotFound');
    const entries = within.map(([file, content]) => {
      const entry = {
        type: 'file',
        path: file,
        size: content.length,
        ...(!this.withoutIds && { oid: gitId(content) }),
      };
      return isLarge(file)
        ? { ...entry, lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } }
        : entry;
    });
    const all = [{ type: 'directory', path: '1_Pooling', size: 0, oid: '0' }, ...entries];
    if (cursor + 3 < all.length)
      response.setHeader('link', `<${this.endpoint}${path}?recursive=true&cursor=${cursor + 3}>; rel="next"`);
    this.#json(response, all.slice(cursor, cursor + 3));
  }

  #resolve(repository: HubRepository, file: string, range: string | undefined, response: ServerResponse): void {
    const content = repository.files[file];
    if (!content) return this.#refuse(response, 404, 'EntryNotFound');
    response.setHeader('x-repo-commit', repository.commit);
    if (!isLarge(file))
      return this.#send(repository, file, range, response, {
        etag: this.foreignEtags ? '"of-a-mirror"' : `"${gitId(content)}"`,
      });
    const { port } = this.#storage.address() as AddressInfo;
    response.writeHead(302, {
      location: `http://localhost:${port}/files/${repository.commit}/${encodeURIComponent(file)}?X-Amz-Signature=signed`,
      'x-linked-etag': `"${sha256(content)}"`,
      'x-linked-size': String(content.length),
    });
    return void response.end();
  }

  #send(
    repository: HubRepository,
    file: string,
    range: string | undefined,
    response: ServerResponse,
    headers: Record<string, string>,
  ): void {
    const content = Buffer.from(
      this.#damaged(file) ? repository.files[file]!.map((byte) => byte ^ 1) : repository.files[file]!,
    );
    const [, first, last = ''] = (!this.ignoresRange && /^bytes=(\d+)-(\d*)$/u.exec(range ?? '')) || [];
    const from = Number(first ?? 0);
    const end = last === '' ? content.length : Math.min(content.length, Number(last) + 1);
    if (first !== undefined && from >= end)
      return void response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    const isRange = first !== undefined;
    const ranged = isRange && { 'content-range': `bytes ${from}-${end - 1}/${content.length}` };
    response.writeHead(isRange ? 206 : 200, { ...headers, ...ranged, 'content-length': end - from });
    const cut = this.cuts.get(file)?.shift();
    if (cut === undefined) return void response.end(content.subarray(from, end));
    return void response.write(content.subarray(from, from + cut), () => setTimeout(() => response.destroy(), 20));
  }

  #damaged(file: string): boolean {
    const times = this.damages.get(file) ?? 0;
    this.damages.set(file, times - 1);
    return times > 0;
  }

  #json(response: ServerResponse, value: unknown): void {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
  }

  #refuse(response: ServerResponse, status: number, code: string): void {
    const headers = { 'x-error-code': code, 'x-error-message': `${code}, says the hub`, ...this.refusalHeaders };
    response.writeHead(status, headers);
    response.end(JSON.stringify({ error: code }));
  }
}

function decoded(match: RegExpExecArray | null): (string | undefined)[] | undefined {
  return match?.map((part: string | undefined) => part && decodeURIComponent(part));
}

function isLarge(file: string): boolean {
  return /\.(?:safetensors|onnx|parquet)$/u.test(file);
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Git's name of a content. */
export function gitId(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}
