import { type Command, defineCommand } from '../command.ts';
import { completionScripts } from '../completion.ts';

type Shell = keyof typeof completionScripts;

/** The line that enables completion, and the startup file of the shell that it belongs in. */
const lines: Readonly<Record<Shell, { readonly file: string; readonly line: string }>> = {
  bash: { file: '~/.bashrc', line: 'source <(sentvec completion bash)' },
  zsh: { file: '~/.zshrc, after compinit', line: 'source <(sentvec completion zsh)' },
  fish: { file: '~/.config/fish/config.fish', line: 'sentvec completion fish | source' },
};

function completion(shell: Shell): Command {
  const { file, line } = lines[shell];
  return defineCommand({
    name: `completion ${shell}`,
    summary: `Print a script that completes commands, flags and their values in ${shell}.`,
    args: {},
    examples: [{ line, does: `Add this line to ${file}` }],
    run: ({ print }) => print({ text: completionScripts[shell], json: { script: completionScripts[shell] } }),
  });
}

export const completionBash: Command = completion('bash');
export const completionZsh: Command = completion('zsh');
export const completionFish: Command = completion('fish');
