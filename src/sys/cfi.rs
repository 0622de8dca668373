//! Call frame information: what a compiler says about how to get from a function's frame to its caller's, read by the crate `gimli`
//! (without its features that allocate). For x86-64.
//!
//! Nothing is allocated: the rows that gimli works on are on the stack, with room for the registers that are followed. What is read are
//! the tables of loaded objects, within their bounds, and the stack by way of [`Memory`]. What is not understood ends the walk.
#![expect(unsafe_code, reason = "reads the tables of loaded objects")]

use core::ptr;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, Encoding, EndianSlice, Evaluation, EvaluationResult,
    EvaluationStorage, Format, LittleEndian, Location, Piece, Pointer, Register, RegisterRule, UnwindContext,
    UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow, Value,
};

/// Registers by their numbers in DWARF: rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15, and the address of the next instruction.
pub(crate) type Registers = [usize; COUNT];
const COUNT: usize = 17;
pub(super) const RBP: usize = 6;
pub(super) const RSP: usize = 7;
pub(super) const RIP: usize = 16;

/// Memory that may not be there.
pub(super) trait Memory {
    /// The word at an address.
    fn word(&mut self, addr: usize) -> Option<usize>;
}

/// A loaded object: where it is, and where its `.eh_frame_hdr` is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) table: usize,
}

type Bytes = EndianSlice<'static, LittleEndian>;

/// Room for what a frame's rules need, on the stack of who allocates: so no more than that.
struct Small;

impl UnwindContextStorage<usize> for Small {
    type Rules = [(Register, RegisterRule<usize>); COUNT];
    type Stack = [UnwindTableRow<usize, Self>; 3];
}

impl EvaluationStorage<Bytes> for Small {
    type Stack = [Value; 8];
    type ExpressionStack = [(Bytes, Bytes); 1];
    type Result = [Piece<Bytes>; 1];
}

impl Object {
    /// The bytes from an address to the object's end.
    fn from(&self, at: usize) -> Option<Bytes> {
        let len = self.end.checked_sub(at).filter(|_| at >= self.start)?;
        // SAFETY: inside a loaded object, which stays mapped while its code is on the stack; of the range only the tables are read, and
        // they are never written to.
        let bytes = unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(at), len) };
        Some(EndianSlice::new(bytes, LittleEndian))
    }
}

/// The value of an expression, as far as they occur in frames: of functions that align their stack, of the linker's stubs, and of the
/// kernel's signal frames.
fn evaluate(
    frames: &EhFrame<Bytes>,
    expression: &UnwindExpression<usize>,
    first: Option<usize>,
    regs: &Registers,
    memory: &mut impl Memory,
) -> Option<usize> {
    let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 5 };
    let mut evaluation = Evaluation::<_, Small>::new_in(expression.get(frames).ok()?.0, encoding);
    evaluation.set_max_iterations(200);
    if let Some(first) = first {
        evaluation.set_initial_value(first as u64);
    }
    let mut result = evaluation.evaluate().ok()?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                evaluation.resume_with_memory(Value::Generic(memory.word(address as usize)? as u64))
            }
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = *regs.get(usize::from(register.0))?;
                evaluation.resume_with_register(Value::Generic(value as u64))
            }
            _ => return None,
        }
        .ok()?;
    }
    match evaluation.as_result() {
        [Piece { location: Location::Address { address }, .. }] => Some(*address as usize),
        _ => None,
    }
}

/// The step from a frame to its caller's.
pub(super) struct Step {
    /// The caller's registers, where it goes on.
    pub(super) caller: Registers,
    /// Whether it is where a signal interrupted it, and not behind a call.
    pub(super) is_exact: bool,
}

/// The registers of the caller of the function at `pc`, in `object`. `None` when there is none, or nothing is known.
pub(super) fn step(object: &Object, pc: usize, regs: &Registers, memory: &mut impl Memory) -> Option<Step> {
    let bases = BaseAddresses::default().set_eh_frame_hdr(object.table as u64);
    let header = EhFrameHdr::from(object.from(object.table)?).parse(&bases, 8).ok()?;
    let Pointer::Direct(at) = header.eh_frame_ptr() else { return None };
    let bases = bases.set_eh_frame(at);
    let frames = EhFrame::from(object.from(at as usize)?);
    let fde = header.table()?.fde_for_address(&frames, &bases, pc as u64, EhFrame::cie_from_offset).ok()?;
    let mut context = UnwindContext::<usize, Small>::new_in();
    let row = fde.unwind_info_for_address(&frames, &bases, &mut context, pc as u64).ok()?;
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            regs.get(usize::from(register.0))?.wrapping_add_signed(*offset as isize)
        }
        CfaRule::Expression(e) => evaluate(&frames, e, None, regs, memory)?,
    };
    let mut caller = *regs;
    caller[RSP] = cfa;
    for (register, rule) in row.registers() {
        let i = usize::from(register.0);
        let Some(place) = caller.get_mut(i) else { continue };
        *place = match rule {
            RegisterRule::SameValue => continue,
            RegisterRule::Undefined if i == RIP => return None,
            RegisterRule::Undefined => 0,
            RegisterRule::Offset(offset) => memory.word(cfa.wrapping_add_signed(*offset as isize))?,
            RegisterRule::ValOffset(offset) => cfa.wrapping_add_signed(*offset as isize),
            RegisterRule::Register(other) => *regs.get(usize::from(other.0))?,
            RegisterRule::Expression(e) => {
                let at = evaluate(&frames, e, Some(cfa), regs, memory)?;
                memory.word(at)?
            }
            RegisterRule::ValExpression(e) => evaluate(&frames, e, Some(cfa), regs, memory)?,
            _ => return None,
        };
    }
    Some(Step { caller, is_exact: fde.is_signal_trampoline() })
}
