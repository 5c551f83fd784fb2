;; The two loops of an optimizer step that touch every parameter. Counts are multiples of 4: the buffers are padded.
(module
  (import "environment" "memory" (memory 1))

  ;; Σ x², added up in double precision.
  (func (export "sumOfSquares") (param $x i32) (param $count i32) (result f64)
    (local $end i32) (local $block v128) (local $low v128) (local $high v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $x) (local.get $end)))
        (local.set $block (v128.load (local.get $x)))
        (local.set $low (f64x2.add (local.get $low)
          (f64x2.mul (f64x2.promote_low_f32x4 (local.get $block)) (f64x2.promote_low_f32x4 (local.get $block)))))
        (local.set $block (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $block) (local.get $block)))
        (local.set $high (f64x2.add (local.get $high)
          (f64x2.mul (f64x2.promote_low_f32x4 (local.get $block)) (f64x2.promote_low_f32x4 (local.get $block)))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (br $next)))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low))))

  ;; One AdamW update of `count` parameters. g is multiplied by $scale (clipping, accumulation) as it is read.
  ;; m ← b1·m + (1-b1)·g    v ← b2·v + (1-b2)·g²    w ← w·$keep - $step · m / (√v · $correction + $epsilon)
  (func (export "update")
    (param $w i32) (param $m i32) (param $v i32) (param $g i32) (param $count i32)
    (param $scale f32) (param $beta1 f32) (param $beta2 f32) (param $keep f32) (param $step f32) (param $correction f32) (param $epsilon f32)
    (local $end i32) (local $gradient v128) (local $mean v128) (local $variance v128)
    (local $scales v128) (local $beta1s v128) (local $rest1s v128) (local $beta2s v128) (local $rest2s v128)
    (local $keeps v128) (local $steps v128) (local $corrections v128) (local $epsilons v128)
    (local.set $end (i32.add (local.get $w) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $scales (f32x4.splat (local.get $scale)))
    (local.set $beta1s (f32x4.splat (local.get $beta1)))
    (local.set $rest1s (f32x4.splat (f32.sub (f32.const 1) (local.get $beta1))))
    (local.set $beta2s (f32x4.splat (local.get $beta2)))
    (local.set $rest2s (f32x4.splat (f32.sub (f32.const 1) (local.get $beta2))))
    (local.set $keeps (f32x4.splat (local.get $keep)))
    (local.set $steps (f32x4.splat (local.get $step)))
    (local.set $corrections (f32x4.splat (local.get $correction)))
    (local.set $epsilons (f32x4.splat (local.get $epsilon)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $w) (local.get $end)))
        (local.set $gradient (f32x4.mul (v128.load (local.get $g)) (local.get $scales)))
        (local.set $mean (f32x4.add
          (f32x4.mul (v128.load (local.get $m)) (local.get $beta1s))
          (f32x4.mul (local.get $gradient) (local.get $rest1s))))
        (local.set $variance (f32x4.add
          (f32x4.mul (v128.load (local.get $v)) (local.get $beta2s))
          (f32x4.mul (f32x4.mul (local.get $gradient) (local.get $gradient)) (local.get $rest2s))))
        (v128.store (local.get $m) (local.get $mean))
        (v128.store (local.get $v) (local.get $variance))
        (v128.store (local.get $w) (f32x4.sub
          (f32x4.mul (v128.load (local.get $w)) (local.get $keeps))
          (f32x4.div
            (f32x4.mul (local.get $mean) (local.get $steps))
            (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $variance)) (local.get $corrections)) (local.get $epsilons)))))
        (local.set $w (i32.add (local.get $w) (i32.const 16)))
        (local.set $m (i32.add (local.get $m) (i32.const 16)))
        (local.set $v (i32.add (local.get $v) (i32.const 16)))
        (local.set $g (i32.add (local.get $g) (i32.const 16)))
        (br $next)))))
