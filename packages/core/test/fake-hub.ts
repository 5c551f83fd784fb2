import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A repository of the fake hub. */
export interface FakeRepository {
  readonly commit: string;
  /**
   * Content by path. Names that end in `.safetensors` or `.onnx` are large files: served by another server, with a
   * SHA-256.
   */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Who may read it. */
  readonly token?: string;
  /** Further names of the commit. Default `main`. */
  readonly branches?: readonly string[];
}

/** A request that a server has seen. */
export interface SeenRequest {
  readonly server: 'hub' | 'storage';
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/**
 * A local server that answers like the Hugging Face hub: `api/models/NAME/revision/REVISION`,
 * `api/models/NAME/tree/COMMIT` (in pages), and `NAME/resolve/COMMIT/PATH`, which sends large files on to a second
 * server, as the hub does to its storage. It can break in several ways.
 */
export class FakeHub {
  readonly repositories = new Map<string, FakeRepository>();
  readonly seen: SeenRequest[] = [];
  /** Answers with these statuses before the right one: by `revision`, `tree`, or the path of a file. */
  readonly statuses = new Map<string, number[]>();
  /** Breaks the connection after so many bytes of a file, once for each entry. */
  readonly cuts = new Map<string, number[]>();
  /** Sends other bytes than the listing promises, this many times. */
  readonly damages = new Map<string, number>();
  ignoresRange = false;
  /** Whether small files have ETags of another making than git's, as mirrors of the hub give them. */
  foreignEtags = false;
  /** Whether the list of files leaves out their ids. */
  withoutIds = false;
  readonly #hub: Server = createServer((request, response) => this.#answer('hub', request, response));
  readonly #storage: Server = createServer((request, response) => this.#answer('storage', request, response));

  async start(): Promise<this> {
    for (const server of [this.#hub, this.#storage])
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    return this;
  }

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

  #answer(server: SeenRequest['server'], request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url!, this.endpoint);
    const path = decodeURIComponent(pathname);
    const { range, authorization } = request.headers;
    this.seen.push({ server, path, range, authorization });
    if (server === 'storage') {
      const [, commit, ...file] = path.slice(1).split('/');
      const repository = [...this.repositories.values()].find((candidate) => candidate.commit === commit)!;
      this.#send(repository, file.join('/'), range, response, { etag: '"an-etag-of-the-storage"' });
      return;
    }
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/([^/]+)$/u.exec(path);
    const resolve = /^\/(.+?)\/resolve\/([^/]+)\/(.+)$/u.exec(path);
    const repository = this.repositories.get((api ?? resolve)?.[1] ?? '');
    if (!repository) return this.#refuse(response, 404, 'RepoNotFound');
    if (repository.token && authorization !== `Bearer ${repository.token}`)
      return this.#refuse(response, authorization ? 403 : 401, 'GatedRepo');
    const key = api ? api[2]! : resolve![3]!;
    const status = this.statuses.get(key)?.shift();
    if (status !== undefined) return this.#refuse(response, status, 'Broken');
    const revision = api ? api[3]! : resolve![2]!;
    if (revision !== repository.commit && !(repository.branches ?? ['main']).includes(revision)) {
      return this.#refuse(response, 404, 'RevisionNotFound');
    }
    if (api?.[2] === 'revision')
      return this.#json(response, { _id: '1', id: api[1], sha: repository.commit, lastModified: '2026-01-01' });
    if (api) return this.#list(repository, Number(searchParams.get('cursor') ?? 0), path, response);
    return this.#resolve(repository, resolve![3]!, range, response);
  }

  /** Three entries a page. */
  #list(repository: FakeRepository, cursor: number, path: string, response: ServerResponse): void {
    const entries = Object.entries(repository.files).map(([file, content]) => {
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

  #resolve(repository: FakeRepository, file: string, range: string | undefined, response: ServerResponse): void {
    const content = repository.files[file];
    if (!content) return this.#refuse(response, 404, 'EntryNotFound');
    response.setHeader('x-repo-commit', repository.commit);
    if (!isLarge(file))
      return this.#send(repository, file, range, response, {
        etag: this.foreignEtags ? '"of-a-mirror"' : `"${gitId(content)}"`,
      });
    const { port } = this.#storage.address() as AddressInfo;
    response.writeHead(302, {
      location: `http://localhost:${port}/files/${repository.commit}/${file}`,
      'x-linked-etag': `"${sha256(content)}"`,
      'x-linked-size': String(content.length),
    });
    return void response.end();
  }

  #send(
    repository: FakeRepository,
    file: string,
    range: string | undefined,
    response: ServerResponse,
    headers: Record<string, string>,
  ): void {
    const content = Buffer.from(
      this.#damaged(file) ? repository.files[file]!.map((byte) => byte ^ 1) : repository.files[file]!,
    );
    const from = this.ignoresRange ? 0 : Number(/^bytes=(\d+)-/u.exec(range ?? '')?.[1] ?? 0);
    const ranged = from > 0 && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
    response.writeHead(from > 0 ? 206 : 200, { ...headers, ...ranged, 'content-length': content.length - from });
    const cut = this.cuts.get(file)?.shift();
    if (cut === undefined) return void response.end(content.subarray(from));
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
    response.writeHead(status, { 'x-error-code': code, 'x-error-message': `${code}, says the hub` });
    response.end(JSON.stringify({ error: code }));
  }
}

function isLarge(file: string): boolean {
  return /\.(?:safetensors|onnx)$/u.test(file);
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

export function gitId(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}
